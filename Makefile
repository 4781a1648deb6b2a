# make demo: from candles to a backtest report and the status screen, in scratch directories, no root.
# make test: everything CI runs.  make bench: speed and memory, next to a peer.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/'

# The environments are rebuilt when the package's metadata or the pinned versions change.
PIP_INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check -c app/constraints.txt
INPUTS := app/pyproject.toml app/constraints.txt

$(VENV)/.runtime: $(INPUTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -e 'app[backtest,simulator,analysis]'
	touch $@

$(VENV)/.develop: $(VENV)/.runtime
	$(PIP_INSTALL) -e 'app[backtest,simulator,analysis,bench,test,host]'
	touch $@
