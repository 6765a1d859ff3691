# Every target makes its own virtual environment in .venv where there is none.
# Another Python: make PYTHON=/path/to/python3.12 test

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test soak check lint types format bench bench-speed bench-big bench-peers build examples clean

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

help: ## show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## run the main job on the example dataset, against a stand-in server
	@rm -rf demo
	$(BIN)/penstock generate examples/prompts.parquet --job examples/job.toml --rehearse -o demo/
	@echo
	$(BIN)/penstock show demo/ --row 2

test: $(INSTALLED) ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

soak: $(INSTALLED) ## kill 200 runs and 48 switches, overspend 50 budgets: in vain
	$(BIN)/python tests/soak_crashes.py
	$(BIN)/python tests/soak_switch.py
	$(BIN)/python tests/soak_budget.py
	$(BIN)/python -m pytest --hypothesis-profile=soak --timeout=1200 tests/test_hostile_replies.py tests/test_hostile_rows.py

check: lint types test ## everything that CI runs: lint, types, tests

lint: $(INSTALLED) ## look for mistakes and untidy formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## prove the types, in code and tests
	$(BIN)/mypy

format: $(INSTALLED) ## tidy the formatting and what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: bench-speed bench-big bench-peers ## measure all of the next three: over an hour

bench-speed: $(INSTALLED) ## measure speed, limits and counting beside the bare loop and tokenizer
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/stations.py
	$(BIN)/python benchmarks/start_up.py
	$(BIN)/python benchmarks/limits.py
	$(BIN)/python benchmarks/counting.py
	$(BIN)/python benchmarks/pilot_trials.py

bench-big: $(INSTALLED) ## measure runs of 1,000,000 rows: memory, resume, a switch; 15 minutes, 8 GB
	$(BIN)/python benchmarks/big.py

bench-peers: $(INSTALLED) ## measure other clients, each installed in benchmarks/.peers
	$(BIN)/python benchmarks/peers.py

build: $(INSTALLED) ## build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

examples: $(INSTALLED) ## make the Parquet example again from the CSV
	$(BIN)/python examples/make_parquet.py

clean: ## remove the environment and everything that was made
	rm -rf $(VENV) demo dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The first that is new enough, so that a wrong `python3` is told before anything is installed.
$(INSTALLED): pyproject.toml
	@set -e; found=; for candidate in "$(PYTHON)" python3.11 python3 python3.12 python3.13; do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then found="$$candidate"; break; fi; done; \
	if [ -z "$$found" ]; then echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo "making $(VENV) with $$found"; "$$found" -m venv --clear $(VENV); fi
	@echo "installing penstock and its tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
