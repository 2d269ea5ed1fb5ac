# `make` prints this help. Everything is installed into .venv from the hashed locks in requirements/.
PYTHON ?= python3
UV ?= .venv/uv/bin/uv
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS = 1
export MLFLOW_DISABLE_TELEMETRY = true

.DEFAULT_GOAL := help
.PHONY: help setup repro test ui lint format types lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed ## Install everything into .venv (uv is bootstrapped)

.venv/uv/bin/uv: requirements/bootstrap.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than Python 3.11; set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "error: $(PYTHON) cannot make environments: install python3-venv, or give a uv of your own with UV=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv/uv
	.venv/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv/.installed: requirements/dev.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --require-hashes --compile-bytecode --python .venv requirements/dev.lock
	$(UV) pip install --quiet --offline --no-deps --no-build-isolation --python .venv -e .
	@touch $@

repro: setup ## Run the pipeline: dvc repro on the embedded data set (or on params.yaml's)
	dvc repro

test: setup ## Run the tests, on all cores
	OMP_NUM_THREADS=1 pytest -n auto --dist loadfile

ui: setup ## Open MLflow on the local runs
	-longtail sync
	@echo "open http://127.0.0.1:5000/#/experiments?workflowType=machine_learning"
	mlflow ui --backend-store-uri sqlite:///mlflow.db

format: setup ## Format the code
	ruff format .
	ruff check --fix .

lint: setup ## Check format and lint
	ruff format --check .
	ruff check .

types: setup ## Check the types (mypy, strict on longtail/)
	mypy

lock: $(UV) ## Resolve the locks again
	$(UV) pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --all-extras --group dev pyproject.toml -o requirements/dev.lock
	echo uv | $(UV) pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url - -o requirements/bootstrap.lock

clean: ## Remove the environment and all results
	rm -rf .venv .longtail artifacts metrics mlruns mlflow.db
