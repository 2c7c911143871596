# The same few verbs on a laptop, on a fresh machine and in CI.
#   make demo    the main job, happening in this terminal (Python 3.11+ is all it needs)
#   make test    every test (those that need Node 20 say so and are skipped without it)
#   make check   lint, format, types
#   make bench   side by side with other Yjs servers, some minutes (ARGS=--quick: a first look)
#   make lock    pin the newest versions of everything again
#   make clean   remove what the others made

# The first Python here that is new enough; name another with make PYTHON=…
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 3

.PHONY: demo test check format bench lock setup node clean
.DEFAULT_GOAL := help

help:
	@sed -n '2,7s/^# *//p' Makefile

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(NEW_ENOUGH)' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (once)…"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# The JavaScript clients that tests drive. Without Node those tests are skipped and say so.
node: tests/wire/node_modules/.installed

tests/wire/node_modules/.installed: tests/wire/package-lock.json
	@if command -v npm >/dev/null; then \
	  npm ci --prefix tests/wire --no-fund --no-audit --loglevel=error && touch $@; \
	else \
	  echo "npm was not found: tests that drive JavaScript clients will be skipped (install Node 20)"; \
	fi

demo: setup
	@$(BIN)/draftsync demo $(ARGS)

test: setup node
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Peers from npm are put into a cache outside this folder.
bench: setup
	@$(BIN)/python -m tests.bench $(ARGS)

lock:
	$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group dev --extra client --universal \
	  --python-version 3.11 --generate-hashes --upgrade --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" --output-file requirements.lock

clean:
	rm -rf $(VENV) tests/wire/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
