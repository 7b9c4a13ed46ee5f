# Every target sets up its own virtual environment first: pinned versions, nothing global.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.DEFAULT_GOAL := help
.PHONY: help quickstart demo test slow soak lint bench clean

help:  ## Say what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "swath needs Python 3.11 or later; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,app,dev]'
	@touch $@

quickstart: $(READY)  ## Index, audit, split, train, test, explain and map real patches: report/index.html
	$(BIN)/swath quickstart --out report --overwrite

demo: $(READY)  ## The same kind of report with the shipped model, in seconds
	$(BIN)/swath demo --out report --overwrite

test: $(READY)  ## Run the fast tests, a process per core, with coverage
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --cov

slow: $(READY)  ## Run the tests that take longer, a process per core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 -m slow

soak: $(READY)  ## Run the longest tests, one by one, then the benchmarks: before an issue is resolved
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m soak
	$(MAKE) bench

lint: $(READY)  ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_words.py

bench: $(READY)  ## Measure speed in short, in minutes; JSON on stdout, tables on stderr
	$(BIN)/python benchmarks/start_up.py --short --table
	$(BIN)/python benchmarks/inference_speed.py --short --table
	$(BIN)/python benchmarks/map_speed.py --short --table
	$(BIN)/python benchmarks/train_speed.py --short --table
	$(BIN)/python benchmarks/service_load.py --short --table

clean:  ## Remove the environment and everything made
	rm -rf $(VENV) report .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage
