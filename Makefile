# make demo: from candles to a backtest report and the status screen, in scratch directories, no root.
# make test: everything CI runs.  make bench: speed and memory, next to a peer.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tools that call each other by name (molecule, ansible, ansible-lint) find themselves there.
ACTIVATED := PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: help demo test lint types unit ansible host system bench soak pictures parity crash faults clean

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

.venv: $(VENV)/.develop ## the environment for development and deployment

demo: $(VENV)/.runtime ## from candles to a report and the status screen; DATA=folder for recorded candles
	$(BIN)/agentctl demo $(if $(DATA),--data '$(DATA)')

test: lint types unit ansible host ## everything

lint: $(VENV)/.develop ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.develop ## mypy, strict
	$(BIN)/mypy

unit: $(VENV)/.develop system ## pytest with coverage, unit files included
	rm -f .coverage .coverage.*
	$(BIN)/pytest --cov --cov-report=term:skip-covered

ansible: $(VENV)/.develop ## ansible-lint, yamllint
	$(ACTIVATED) yamllint --strict .
	$(ACTIVATED) ansible-lint --offline

host: $(VENV)/.develop ## deploy to real systemd hosts in containers and break them (molecule)
	if molecule/prepare-controller; then $(ACTIVATED) molecule test; \
	else echo "make host: skipped, see the line above"; test "$${CI:-}" != true; fi

# systemd-analyze checks the unit files, Chromium shows the report, openssl makes a certificate.
SYSTEM_PACKAGES := systemd chromium openssl
system:
	for program in systemd-analyze chromium openssl; do command -v $$program >/dev/null || missing=1; done; \
	[ -z "$${missing:-}" ] \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	    && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(SYSTEM_PACKAGES) >/dev/null; } \
	  || { echo "make test: of $(SYSTEM_PACKAGES) some are missing; pytest says what it skips"; test "$${CI:-}" != true; }

BENCHMARKS := store_read table_sizes backtest_speed peers sync streams import_candles backup
bench: $(VENV)/.develop ## speed and memory against their bars, next to backtesting.py
	@cd app; missed=; for one in $(BENCHMARKS); do \
	  printf '\n%s\n' "── $$one"; ../$(BIN)/python -m benchmarks.$$one || missed="$$missed $$one"; \
	done; [ -z "$$missed" ] || { printf '\n%s\n' "missed a bar:$$missed"; exit 1; }

soak: $(VENV)/.develop ## a day of the simulator's streams, and a day of trading with faults, in five minutes; SCALE, HOURS
	cd app && ../$(BIN)/python -m benchmarks.streams --hours $(or $(HOURS),26) --scale $(or $(SCALE),1500)
	cd app && ../$(BIN)/python -m benchmarks.trading --hours $(or $(HOURS),24) --scale $(or $(SCALE),400)

pictures: $(VENV)/.develop ## draw the pictures of the docs anew
	cd app && ../$(BIN)/python -m pictures

parity: $(VENV)/.develop ## half a year of recorded candles through the live trader, compared with the backtest; DATA=folder
	$(BIN)/python tests/parity/campaign.py $(if $(DATA),--data '$(DATA)') --days $(or $(DAYS),181)

crash: $(VENV)/.develop ## killed and disturbed runs of the jobs and of live trading; RUNS=200, SEED=number repeats one
	$(BIN)/python tests/crash/campaign.py --runs $(or $(RUNS),200) $(if $(SEED),--seed $(SEED))
	$(BIN)/python tests/crash/live_campaign.py --runs $(or $(RUNS),60) $(if $(SEED),--seed $(SEED))
	$(BIN)/python tests/backup_corruption.py --runs $(or $(RUNS),100) $(if $(SEED),--seed $(SEED))

faults: $(VENV)/.develop ## every fault of the exchange in every situation of a trade; ONLY=word, SEED=number
	$(BIN)/python tests/faults/campaign.py $(if $(ONLY),--only '$(ONLY)') $(if $(SEED),--seed $(SEED))

clean: ## remove what the targets made here
	rm -rf $(VENV) .demo .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
