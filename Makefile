# The dev loop: make help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

LOCK := pyproject.toml --extra postgres --extra c2pa --extra redis --extra heif --extra otel --universal --generate-hashes --python-version 3.11 \
	--strip-extras --no-header --no-annotate --quiet

.DEFAULT_GOAL := help
.PHONY: help setup run ui deploy worker stop test long slow chaos lint format docs bench lock

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-8s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## Make the virtual environment from the lock file

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=python3.12, say."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: setup ## Rehearse the sample call sheet, without a key and for nothing
	$(BIN)/callsheet run prompts/demo.csv

ui: setup ## Start the Prefect UI, or say where it is
	$(BIN)/callsheet ui

deploy: setup ## Put schedules and forms on the Prefect server that is running
	$(BIN)/callsheet deploy

worker: setup ## Take scheduled runs on this machine, until Ctrl-C
	$(BIN)/callsheet worker

stop: setup ## End the local Prefect server
	$(BIN)/callsheet ui --stop

test: setup ## Run the quick suite
	$(BIN)/python -m pytest -n 4 --dist loadgroup

long: setup ## Run the longer tests: whole batches, several ledgers and processes, kills
	$(BIN)/python -m pytest -n 4 --dist loadgroup -m "long and not slow"

slow: setup ## Run the slow tests: every case of the dear ones, files of more than 4 GiB, 2,000 shots (9 GB of disk)
	$(BIN)/python -m pytest -m slow
	$(BIN)/python -m pytest -m "hypothesis and not slow" --hypothesis-profile thorough

chaos: setup ## Kill a batch 50 times under every fault class, with lost ledgers and days that turn, beside one left in peace
	$(BIN)/python -m tests.e2e.chaos --kills 50

lint: setup ## Check style, types, layers and the container file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint deployments/Containerfile

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## Write the pages that are made from code, and build the site: build/site/index.html
	$(BIN)/python -m docs.generate
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo 'build/site/index.html; with search: python3 -m http.server --bind 127.0.0.1 --directory build/site'

bench: setup ## Measure, beside named peers in the same run
	$(BIN)/python -m benchmarks

lock: setup ## Write the lock files anew: all that developing needs, and of it what the container image needs
	$(BIN)/uv pip compile $(LOCK) --group dev --output-file requirements.lock
	$(BIN)/uv pip compile $(LOCK) --group build --constraint requirements.lock --output-file deployments/requirements.lock
