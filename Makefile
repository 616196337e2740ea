# The verbs of the house; people and CI use the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Wheels only: a machine without a compiler installs everything.
PIP := $(BIN)/python -m pip --disable-pip-version-check
CONSTRAINTS := constraints.txt

.PHONY: install up test check test-full evals bench clean

install: $(VENV)/.installed

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	@echo "Installing Counterpoint into $(VENV) (about 250 MB to download; once)"
	$(PIP) install --quiet --upgrade "pip>=25.1"
	$(PIP) install --only-binary :all: --no-binary counterpoint -c $(CONSTRAINTS) --progress-bar on -e ".[sandbox]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet --only-binary :all: --no-binary counterpoint -c $(CONSTRAINTS) -e ".[sandbox,dev]"
	@touch $@

up: install
	@exec $(BIN)/counterpoint up $(ARGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

test-full: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m ""

evals: $(VENV)/.installed-dev
	$(BIN)/python -m evals.first_answer

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
