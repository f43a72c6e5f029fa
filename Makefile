# What a person types: `make run` to see it work, `make test` before a change goes out.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.set-up
PYTEST ?= $(BIN)/pytest -q -n 2 --dist loadfile

.PHONY: help setup run test check docs bench lock clean

help:
	@echo "make setup   virtual environment in $(VENV) from the hashed lock file"
	@echo "make run     set up, then the demo (everything in one command)"
	@echo "make test    set up, then lint, types, imports and all tests"
	@echo "make check   lint, format, types, imports"
	@echo "make docs    docs/reference/ and config/relay.toml, from the code"
	@echo "make bench   speed and size, beside the peers that are installed"
	@echo "make lock    new lock files from pyproject.toml (needs uv)"
	@echo "make clean   remove the virtual environment and caches"

setup: $(STAMP)

$(STAMP): pyproject.toml requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments here; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup
	$(BIN)/consent-relay demo

test: check
	$(PYTEST)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup
	$(BIN)/python -m docs.generator
	$(BIN)/python -m relay.operate.reference > config/relay.toml

bench: setup
	$(BIN)/python -m tests.bench

# The files name packages and hashes, never where they came from.
LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --extra uvloop pyproject.toml

lock:
	PATH="$(CURDIR)/$(BIN):$$PATH" $(LOCK) --output-file requirements.lock
	PATH="$(CURDIR)/$(BIN):$$PATH" $(LOCK) --group dev --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache build dist
