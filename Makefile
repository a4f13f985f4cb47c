# Needs Python 3.11 or newer, make and a C runtime; everything else is installed into .venv.

# each data set has a home of its own
HOME_DIR ?= .foryou$(if $(DATA),-$(notdir $(patsubst %/,%,$(DATA))))
PORT ?= 8000
DATA ?=
PYTHON ?=
WORKERS ?= 2

# Every process of a test or a stack would compile all that it imports again where this is set.
export PYTHONDONTWRITEBYTECODE =

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPILED := $(VENV)/.compiled
PACKAGES = $(filter-out tests,$(patsubst %/__init__.py,%,$(wildcard */__init__.py)))
USABLE := 'import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 11))'
BENCHMARKS = $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py))

.DEFAULT_GOAL := help
.PHONY: help install demo test lint bench clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10
	@echo
	@echo "variables: PORT=$(PORT) HOME_DIR=$(HOME_DIR) DATA=$(DATA) PYTHON=$(PYTHON) WORKERS=$(WORKERS)"

install: $(INSTALLED)  ## create .venv and install everything into it, at the versions of constraints.txt

demo: $(INSTALLED)  ## build a world, train on it and serve it on PORT
	$(BIN)/foryou demo --home $(HOME_DIR) --port $(PORT) $(if $(DATA),--data $(DATA))

test: $(INSTALLED) $(COMPILED)  ## run the whole suite
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=25

lint: $(INSTALLED)  ## check style, types and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(PACKAGES)
	$(BIN)/lint-imports

bench: $(INSTALLED)  ## run every benchmark, one after the other
	@test -n "$(BENCHMARKS)" || echo "There are no benchmarks yet."
	@# As modules: a script's own folder comes first on the path, and benchmarks/features.py would hide the package.
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python -m benchmarks.$$(basename $$script .py); done

clean:  ## remove caches, build output and the default home of the demo; .venv stays
	rm -rf .foryou build dist mlruns mlartifacts .hypothesis
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache ./*.egg-info
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# Python 3.11 comes first because constraints.txt was resolved for it.
$(BIN)/python:
	@for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3); do \
	  "$$python" -c $(USABLE) >/dev/null 2>&1 || continue; \
	  echo "creating $(VENV) with $$("$$python" --version)"; \
	  exec "$$python" -m venv $(VENV); \
	done; \
	echo "No Python 3.11 or newer with its venv module was found: install one" \
	  "(Debian: python3 and python3-venv), or name it with PYTHON=/path/to/python3." >&2; \
	exit 1

# The stamp makes a second run instant; a change of either file installs again.
$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	@set -e; uv=$$(command -v uv || true); \
	if [ -z "$$uv" ]; then \
	  uv=$(BIN)/uv; \
	  [ -x "$$uv" ] || $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt uv; \
	fi; \
	echo "installing foryou and its dependencies (some minutes the first time)"; \
	"$$uv" pip install --python $(BIN)/python -c constraints.txt -b constraints.txt -e '.[all,dev]'
	@touch $@

# Kernels are compiled on their first use and kept: else each process of the suite would compile them for itself.
$(COMPILED): $(INSTALLED)
	@echo "compiling kernels (a minute or two the first time)"; \
	home=$$(mktemp -d) || exit 1; trap 'rm -rf "$$home"' EXIT; export FORYOU_MLFLOW=off OMP_NUM_THREADS=1; \
	$(BIN)/python -c 'from features.stream.warm import warm_kernels; warm_kernels()' & \
	$(BIN)/foryou demo --no-serve --home "$$home/home" --viewers 150 --videos 600 --impressions 6000 >/dev/null 2>&1; wait
	@touch $@
