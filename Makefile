# `make` prints this help. Everything is installed into .venv from the hashed locks in requirements/.
PYTHON ?= python3
UV ?= .venv/uv/bin/uv
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS = 1
export MLFLOW_DISABLE_TELEMETRY = true

.DEFAULT_GOAL := help
# Any engine that speaks BuildKit. Without access to a registry: BASE_IMAGE=longtail-base:bookworm (docker/debian-base).
DOCKER ?= docker
COMMIT := $(shell git rev-parse HEAD 2>/dev/null)$(if $(shell git status --porcelain --untracked-files=no 2>/dev/null),-dirty)
BUILD = DOCKER_BUILDKIT=1 $(DOCKER) build --file docker/Dockerfile --build-arg COMMIT=$(or $(COMMIT),unknown) \
  $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) $(if $(INDEX_URL),--build-arg INDEX_URL=$(INDEX_URL)) \
  $(if $(CA),--secret id=ca$(comma)src=$(CA)) $(if $(NETWORK),--network $(NETWORK))
comma := ,

.PHONY: help setup repro example test test-all picture bench experiment ui images push local lint format types lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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
	longtail check
	dvc repro

example: setup ## Train heads on a pretrained network's stored features; nothing is downloaded
	python -m examples.photographs artifacts/example
	cd artifacts/example && longtail check && dvc repro

PYTEST = OMP_NUM_THREADS=1 pytest -n auto --dist loadfile --no-loadscope-reorder
test: setup ## Run the quick tests, on all cores: all but those that take long, need containers or a browser
	$(PYTEST) -m "not slow and not docker and not browser"

test-all: setup ## Run every test that this machine can run
	$(PYTEST)

picture: setup ## Take the README's picture of the report that is in artifacts/ (needs Chromium)
	chromium --headless --no-sandbox --hide-scrollbars --window-size=1100,1180 --screenshot=docs/report.png \
	  "file://$(CURDIR)/artifacts/report/report.html"

bench: setup ## Measure everything and write docs/benchmarks.md (FULL=1: the large sizes too, over an hour)
	python -m benchmarks $(if $(FULL),--full)

experiment: setup ## Run experiments/NAME.yaml on DATA, PROCESSES cells at a time, and write its tables and figures
	@test -n "$(NAME)" || { echo "error: say which: make experiment NAME=digits" >&2; exit 1; }
	python -m experiments $(NAME) --data $(or $(DATA),.) --processes $(or $(PROCESSES),1)

ui: setup ## Open MLflow on the local runs
	-longtail sync
	@echo "open http://127.0.0.1:5000/#/experiments?workflowType=machine_learning"
	mlflow ui --backend-store-uri sqlite:///mlflow.db

images: ## Build the container images; see docker/README.md for BASE_IMAGE, INDEX_URL, CA, NETWORK
	$(foreach target,cpu cuda mlflow,$(BUILD) --target $(target) --tag longtail-$(target):local . &&) true

push: ## Push the images to REGISTRY and note their digests for compile and submit
	@test -n "$(REGISTRY)" || { echo "error: say where to: make push REGISTRY=registry.example/team" >&2; exit 1; }
	docker/push $(DOCKER) $(REGISTRY)

local: setup ## Run the Kubeflow pipeline here, one container a step (RUNNER=subprocess: without Docker)
	LONGTAIL_TRACKING=off dvc repro --quiet ingest
	python -m pipelines local --runner $(or $(RUNNER),docker)

format: setup ## Format the code
	ruff format .
	ruff check --fix .

scan: setup ## Check the manifests and the Dockerfile (checkov, hadolint, shellcheck)
	infra/scan

lint: setup ## Check format and lint
	ruff format --check .
	ruff check .

types: setup ## Check the types (mypy, strict)
	mypy

COMPILE = $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url
# Google's way to sign requests with keys, which MLflow's client takes along and the steps never use.
UNUSED = $(addprefix --no-emit-package ,cryptography cffi pycparser)
lock: $(UV) ## Resolve the locks again
	$(COMPILE) --upgrade --all-extras --group dev pyproject.toml -o requirements/dev.lock
	$(COMPILE) --upgrade --group pyproject.toml:build -o requirements/bootstrap.lock
	$(COMPILE) -c requirements/dev.lock $(UNUSED) --extra step pyproject.toml -o requirements/cpu.lock
	$(COMPILE) -c requirements/dev.lock --extra step --extra torch --extra pretrained --extra gpu --extra distributed pyproject.toml -o requirements/cuda.lock
	$(COMPILE) -c requirements/dev.lock --no-deps --group pyproject.toml:executor -o requirements/executor.lock
	$(COMPILE) -c requirements/dev.lock --group pyproject.toml:server -o requirements/mlflow.lock
	$(COMPILE) --upgrade requirements/scan.in -o requirements/scan.lock

clean: ## Remove the environment and all results
	rm -rf .venv .longtail artifacts metrics mlruns mlflow.db
