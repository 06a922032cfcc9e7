#!/usr/bin/env bash
# Installs a small real S3 server for the tests into .venv (`make versitygw`). Needs Go; it compiles for some minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
version=v1.8.0
bin=$PWD/.venv/share/recflow/bin
if [ -x "$bin/versitygw" ] && [ "$(cat "$bin/versitygw.done" 2>/dev/null)" = "$version" ]; then exit 0; fi
command -v go >/dev/null || { echo "versitygw: error: needs Go to be compiled: install it, or put versitygw on the path" >&2; exit 1; }
mkdir -p "$bin"
GOBIN=$bin go install "github.com/versity/versitygw/cmd/versitygw@$version"
echo "$version" >"$bin/versitygw.done"
