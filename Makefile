# The same few verbs on a laptop, on a fresh machine and in CI.
#   make demo    the main job, in this terminal and a browser (Python 3.11+; Node 20 for the latter)
#   make test    every test (those that need Node 20 or Chromium say so, and are skipped without)
#   make web     build the web app into examples/webapp/dist (Node 20)
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

# Tests start hundreds of processes: none of them is to compile everything again.
unexport PYTHONDONTWRITEBYTECODE

# The web app, and a shell word that is true where Node can build it (Vite wants 20.19 or newer).
WEBAPP := examples/webapp
NODE_20 := command -v npm >/dev/null && \
  node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || a == 20 && b >= 19 ? 0 : 1)'

.PHONY: demo test check lint types check-web format bench lock setup node web clean
.DEFAULT_GOAL := help

help:
	@sed -n '2,8s/^# *//p' Makefile

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(NEW_ENOUGH)' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (once)…"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Packages of the JavaScript clients that tests drive, and of the web app.
node: tests/wire/node_modules/.installed $(WEBAPP)/node_modules/.installed
	@$(NODE_20) || echo "Node 20.19 or newer was not found: tests that need it will be skipped"

%/node_modules/.installed: %/package-lock.json
	@if $(NODE_20); then npm ci --prefix $* --no-fund --no-audit --loglevel=error && touch $@; fi

web: $(WEBAPP)/dist/.built
	@test -e $< || echo "Node 20.19 or newer was not found: the web app is not built"

# Built again when anything changed that it is made from.
SOURCES := $(shell find $(WEBAPP) -type f -not -path '*/node_modules/*' -not -path '*/dist/*' \
  -not -path '$(WEBAPP)/test/*')

$(WEBAPP)/dist/.built: $(WEBAPP)/node_modules/.installed $(SOURCES)
	@if $(NODE_20); then \
	  echo "Building the web app…"; \
	  npm run --silent build --prefix $(WEBAPP) -- --logLevel=warn && \
	  find $(WEBAPP)/dist \( -name '*.js' -o -name '*.css' -o -name '*.svg' \) \
	    -exec gzip -9knf {} + && touch $@; \
	fi

demo: setup
	@$(MAKE) --no-print-directory web || echo "The web app could not be built: the demo goes on without"
	@$(BIN)/draftsync demo $(ARGS)

test: setup node web
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: lint types check-web

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

check-web: node
	@if $(NODE_20); then npm run --silent check --prefix $(WEBAPP); \
	else echo "Node 20.19 or newer was not found: $(WEBAPP) is not checked"; fi

format: setup node
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@if $(NODE_20); then npm run --silent format --prefix $(WEBAPP); fi

# Peers from npm are put into a cache outside this folder.
bench: setup
	@$(BIN)/python -m tests.bench $(ARGS)

lock:
	$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group dev --extra client --universal \
	  --python-version 3.11 --generate-hashes --upgrade --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" --output-file requirements.lock

clean:
	rm -rf $(VENV) tests/wire/node_modules $(WEBAPP)/node_modules $(WEBAPP)/dist \
	  tests/browser/artefacts .mypy_cache .ruff_cache .pytest_cache .hypothesis
