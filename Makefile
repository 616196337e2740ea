# The verbs of the house; people and CI use the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CONSTRAINTS := constraints.txt
# Wheels only: a machine without a compiler installs everything.
WHEELS := --only-binary :all: --no-binary counterpoint -c $(CONSTRAINTS)

# Each process of the suite would compile all of its modules again.
unexport PYTHONDONTWRITEBYTECODE

# As many as keep two cores busy: most tests wait for processes.
TEST_JOBS ?= 3
# What docs/compatibility.md says is proved in one session.
PROVED := tests/compatibility tests/server/threads/test_sdk.py \
  tests/server/test_runs_sdk.py tests/server/test_crons_routes.py tests/server/test_store_routes.py

.PHONY: install up down stack test test-siege check test-full compatibility faults evals bench clean

install: $(VENV)/.installed

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Counterpoint needs Python 3.11 to 3.13; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "This Python has no venv; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	@echo "Installing Counterpoint into $(VENV) (about 200 MB to download, 930 MB on disk; once)"
	@$(PIP) install --quiet --upgrade "pip>=25.1"
	@$(PIP) install $(WHEELS) --quiet --progress-bar on -e ".[sandbox]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what tests and checks need"
	@$(PIP) install $(WHEELS) --quiet -e ".[sandbox,dev]"
	@touch $@

up: install
	@exec $(BIN)/counterpoint up $(ARGS)

down: install
	@$(BIN)/counterpoint down $(ARGS)

stack: install
	@exec $(BIN)/python -m scripts.stack $(ARGS)

test: $(VENV)/.installed-dev
	@$(BIN)/counterpoint models pull embedder
	$(BIN)/python -m tests -n $(TEST_JOBS) --dist loadfile

test-siege: $(VENV)/.installed-dev
	@$(BIN)/counterpoint models pull embedder
	$(BIN)/python -m tests -n $(TEST_JOBS) --dist loadgroup -m "siege and not local_model and not long"

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

test-full: $(VENV)/.installed-dev
	@$(BIN)/counterpoint models pull embedder chat-small
	$(BIN)/python -m pytest -m ""

compatibility: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -p no:randomly --compatibility -k "not cut" $(PROVED)

faults: $(VENV)/.installed-dev
	@$(BIN)/counterpoint models pull embedder
	FAULT_SEEDS=$(or $(FAULT_SEEDS),100) FAULT_SEED=$(FAULT_SEED) FAULT_ONLY=$(FAULT_ONLY) \
	  $(BIN)/python -m tests.faults

evals: $(VENV)/.installed-dev
	$(BIN)/python -m evals.humaneval
	$(BIN)/python -m evals.first_answer --write docs/first-answer.md
	$(BIN)/python -m evals.answers --write docs/answers.md
	$(BIN)/python -m evals.data_tasks --write docs/artifacts.md
	$(BIN)/python -m evals.retrieval --all --write docs/retrieval.md

bench: $(VENV)/.installed-dev
	$(BIN)/python -m bench
	$(BIN)/python -m bench.server
	$(BIN)/python -m bench.ingest
	$(BIN)/python -m bench.retrieval

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
