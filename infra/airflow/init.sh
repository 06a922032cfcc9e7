#!/usr/bin/env bash
# Prepares the metadata database, the pool, the login and the buckets; run once before Airflow's components start.
set -euo pipefail
umask 077
[ -n "${RECFLOW_UI_PASSWORD:-}" ] || { echo "init: error: RECFLOW_UI_PASSWORD is empty: the UI has no default password" >&2; exit 1; }
python -c 'import json, os; print(json.dumps({"admin": os.environ["RECFLOW_UI_PASSWORD"]}))' >"$AIRFLOW_HOME/passwords.json"
python infra/storage/create_buckets.py
airflow db migrate
airflow pools set recflow_writers 1 "Jobs that write tables: one at a time, earlier days first."
