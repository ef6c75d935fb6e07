# Every target sets up what it needs, once: a stamp file in .venv records what was
# installed, and a change of pyproject.toml makes it stale.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TESTFLAGS ?= -n 2

# threads of BLAS that fight for the cores of two test workers cost more than they give
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test deep lint types docs bench clean system

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.run  ## record, prove, fit and compile a NIST reference problem
	$(BIN)/python -m tapegrad demo

test: $(VENV)/.test system  ## the test suite
	$(BIN)/python -m pytest $(TESTFLAGS)

deep: $(VENV)/.test system  ## the slow, thorough checks
	$(BIN)/python -m pytest -m deep

lint: $(VENV)/.lint types  ## ruff (rules and format) and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.lint  ## mypy --strict alone
	$(BIN)/mypy --strict

docs: $(VENV)/.docs  ## the documentation, into docs/_build/html
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.bench  ## the page of speed figures, beside other libraries
	$(BIN)/python tests/benchmarks/beside.py --anew

clean:  ## everything that the other targets made
	rm -rf $(VENV) docs/_build build dist .mypy_cache .pytest_cache .ruff_cache \
	  .hypothesis demo-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ------------------------------------------------------------------------ set-up

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# .run holds the run-time dependencies alone; each other stamp adds one extra to it.
$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	@echo "installing tapegrad into $(VENV)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.lint: $(VENV)/.test

$(VENV)/.%: pyproject.toml $(VENV)/.run
	@echo "installing tapegrad[$*] into $(VENV)"
	@$(PIP) install --editable ".[$*]"
	@touch $@

# System programs that tests use when they are there. Without a package manager, or
# without the right to use it, the tests that need them are skipped and say so.
# Each entry is command:package.
SYSTEM := dot:graphviz

system:
	@for entry in $(SYSTEM); do \
	  command=$${entry%%:*}; package=$${entry##*:}; \
	  command -v $$command >/dev/null 2>&1 && continue; \
	  if [ "$$(id -u)" = 0 ]; then sudo=; \
	  elif sudo -n true >/dev/null 2>&1; then sudo="sudo -n"; \
	  else sudo=none; fi; \
	  if [ "$$sudo" != none ] && command -v apt-get >/dev/null 2>&1; then \
	    echo "installing $$package"; \
	    { $$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive \
	      apt-get install -y -qq --no-install-recommends $$package; } >/dev/null \
	      && continue; \
	  fi; \
	  echo "skipped: tests that run '$$command' (install $$package to run them)"; \
	done
