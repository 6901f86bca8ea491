PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# Two torch processes that each spin on every core starve each other.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE
export HF_HUB_OFFLINE  ?= 1
# transformers advises on optional packages at every start.
export TRANSFORMERS_VERBOSITY ?= error

.DEFAULT_GOAL := help
.PHONY: help install demo test check bench chaos screenshots format proto clean

help: ## List what can be done here
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

install: $(BIN)/.installed ## Create .venv and install everything into it

$(BIN)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: install ## Tune three concepts, fuse them, draw the contact sheet (under 10 minutes on two cores)
	$(BIN)/python examples/demo/run.py --out demo-output

test: install ## Run all tests
	$(BIN)/python -m pytest

check: install ## Lint, types, import directions, generated code up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protocol/generate.py --check

bench: install ## Measure fusion at full size and write benchmarks/RESULTS.md (about a quarter of an hour on two cores)
	$(BIN)/python benchmarks/run.py

chaos: install ## Kill parts of a running hub 100 times, check what is left, write docs/chaos.md
	$(BIN)/python tests/chaos/run.py --faults 100 --page docs/chaos.md

screenshots: install ## Take the pictures of docs/dashboard.md (needs chromium; the first time a quarter of an hour)
	$(BIN)/python examples/screenshots/run.py

format: install ## Format the code and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: install ## Regenerate the gRPC code from the .proto files
	$(BIN)/python protocol/generate.py

clean: ## Remove what the demo and the caches left
	rm -rf demo-output .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
