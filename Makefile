# Every target that needs .venv makes it first; that takes no time when nothing has changed.
# ARGS goes to the command: make demo ARGS="--days 10", make test ARGS="-k swing", make ui ARGS="--port 8081".
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-faults cluster-test versitygw lint audit bench judge judge-ranking ui stop lock clean \
	distclean
SHELL := /bin/bash
BIN := .venv/bin
UV := $(shell command -v uv || echo .venv/share/recflow/uv/bin/uv)
ARGS ?=

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv: packages, Java 17 (installed where that is possible), Spark's Delta and S3 jars
	@infra/setup/setup.sh

demo: setup ## 30 days of planted data, the last day through Airflow, published; leaves the UI up
	@$(BIN)/recflow demo $(ARGS)

test: setup ## unit tests, and a small flow through the real scheduler
	@$(BIN)/python -m pytest -m "not faults and not cluster" -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-faults: setup ## kill, corrupt and fill up on purpose: some twenty minutes
	@$(BIN)/python -m pytest tests/faults $(ARGS)

cluster-test: versitygw ## docker-compose.yml's services as processes: Postgres, a Spark cluster, S3; twenty minutes or so
	@$(BIN)/python -m pytest tests/cluster -m cluster $(ARGS)

versitygw: setup ## install a real S3 server for the tests (compiles for some minutes; needs Go)
	@infra/setup/versitygw.sh

lint: setup ## style, the compose file, and what must not be in the repository
	@$(BIN)/python infra/lint.py

audit: setup ## known vulnerabilities of the packages in requirements.lock
	@$(BIN)/python infra/audit.py

bench: setup ## measure what a day costs
	@$(BIN)/python -m tests.bench $(ARGS)

judge: setup ## recall quality beside other implementations; needs their data: see README
	@$(BIN)/python -m tests.judge_recall $(ARGS)

judge-ranking: setup ## ranking quality beside an item's own rate; needs their data: see README
	@$(BIN)/python -m tests.judge_ranking $(ARGS)

ui: setup ## start Airflow and its UI, bound to this machine
	@$(BIN)/recflow ui $(ARGS)

stop: ## stop what demo or ui started
	@if [ -x $(BIN)/recflow ]; then $(BIN)/recflow stop; else echo "stop: nothing is set up, so nothing runs"; fi

lock: setup ## write requirements.lock anew from pyproject.toml (UPGRADE=1: with the newest versions)
	@$(UV) pip compile pyproject.toml --extra postgres --extra dev --universal --python-version 3.11 \
		--generate-hashes --quiet --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) -o requirements.lock
	@echo "lock: requirements.lock has $$(grep -c == requirements.lock) packages"

clean: ## stop Airflow, remove .recflow: warehouse, published bundles, Airflow's database, logs
	@if [ -x $(BIN)/recflow ] && [ -d .recflow ]; then env -u RECFLOW_HOME $(BIN)/recflow stop; fi
	@if [ -d .recflow ]; then echo "clean: removing .recflow ($$(du -sh .recflow | cut -f1))"; rm -rf .recflow; \
		else echo "clean: there is no .recflow"; fi

distclean: clean ## clean, and remove .venv and the tools' caches
	@echo "distclean: removing .venv and caches"
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
