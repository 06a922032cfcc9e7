#!/usr/bin/env bash
# Prepares the metadata database, the pool and the login; run once before Airflow's components start.
set -euo pipefail
umask 077
python -c 'import json, os; print(json.dumps({"admin": os.environ["RECFLOW_UI_PASSWORD"]}))' >"$AIRFLOW_HOME/passwords.json"
airflow db migrate
airflow pools set recflow_writers 1 "Jobs that write tables: one at a time, earlier days first."
