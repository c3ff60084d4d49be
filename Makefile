# Everything a developer runs. Needs make, Python 3.11 or newer and a package index; nothing else.

.DEFAULT_GOAL := help
.PHONY: help demo simulate test test-slack bench check lint format lock build pictures clean

# The first of these that really runs and is new enough: version managers put a `python3.13` on the path that only
# says which versions are switched off. Your own choice: make PYTHON=/path/to/python3 …
PYTHON ?= $(shell for candidate in python3.13 python3.12 python3.11 python3; do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { echo "$$candidate"; break; }; done)

# Relative, so that a space in the path of this folder does no harm; always through `python -m`, so that an activated
# environment is never the one that is changed.
VENV := .venv
RUN := $(VENV)/bin/python -m
READY := $(VENV)/.ready
# Programs from the npm registry, a node to run them among them.
NODE := .node

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## the real daemon against a simulated vendor, alerts on the console
	$(VENV)/bin/syncd demo

simulate: $(READY) ## histories that cry wolf: what is observed in them, and how little of it is told, in one table
	@$(RUN) tests.simulator

test: $(READY) ## run the tests, on SQLite and on a PostgreSQL that they start themselves
	$(RUN) pytest

# Named, or pytest leaves the folder out (tests/emulator/conftest.py).
test-slack: $(READY) $(NODE)/.ready ## what goes to Slack, tried on other people's tools (needs npm)
	$(RUN) pytest tests/emulator

bench: $(READY) ## how long a diff takes, beside other libraries, in one table (a minute)
	$(RUN) benchmarks.diff

check: lint test ## everything a reviewer would run

lint: $(READY) ## style, types, the floors of docs/contributing.md, installed versions that fit together
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(VENV)/bin/lint-imports --no-logo
	$(RUN) pip check

format: $(READY) ## put code into the project's style
	$(RUN) ruff check --fix
	$(RUN) ruff format

build: $(READY) ## an sdist and a wheel in dist/
	$(RUN) build --no-isolation

# uv resolves for every platform and Python version at once, which pip cannot.
UV ?= uv
lock: ## pin the newest versions that pyproject.toml allows (needs uv)
	@command -v "$(UV)" >/dev/null || { echo "make lock needs uv: pip install uv, or make lock UV=/path/to/uv" >&2; exit 1; }
	@printf '%s\n' '# Every version that `make` installs, with its hashes, for every platform. Refresh: make lock' > requirements.lock.new
	"$(UV)" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --extra postgres --group dev pyproject.toml >> requirements.lock.new
	mv requirements.lock.new requirements.lock

clean: ## remove what can be made again, the environment included
	rm -rf $(VENV) .node dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis requirements.lock.new
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment, made again when what goes into it changed. An environment that no longer runs (its Python was
# removed) is replaced. Hashes are checked for everything that is downloaded; the project itself is linked in with
# the build backend of the lock.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "syncd needs Python 3.11 or newer, and none of python3.13, python3.12, python3.11," \
		"python3 is one that runs. Install one, or: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) does not run or is older than Python 3.11" >&2; exit 1; }
	@$(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ rm -rf $(VENV) && "$(PYTHON)" -m venv $(VENV); }
	$(RUN) pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(RUN) pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The messages worth showing; all of them are drawn, to be looked at.
PICTURES := models_unlocked parameters_changed key_rejected digest
pictures: $(READY) $(NODE)/.ready $(NODE)/pictures/.ready ## draw what Slack shows, into docs/pictures (needs npm)
	cp docs/pictures/render.mjs $(NODE)/pictures
	mkdir -p $(NODE)/pictures/drawn
	$(RUN) tests.samples > $(NODE)/pictures/messages.json
	cd $(NODE)/pictures && ../node_modules/.bin/node render.mjs messages.json drawn
	cp $(PICTURES:%=$(NODE)/pictures/drawn/%.png) docs/pictures

# Exactly what the lock holds, checked against its hashes. No program of these packages runs while they are installed.
$(NODE)/.ready: FROM := tests/emulator
$(NODE)/pictures/.ready: FROM := docs/pictures
$(NODE)/.ready: tests/emulator/package.json tests/emulator/package-lock.json
$(NODE)/pictures/.ready: docs/pictures/package.json docs/pictures/package-lock.json
$(NODE)/.ready $(NODE)/pictures/.ready:
	@command -v npm >/dev/null || { echo "this needs npm, which comes with Node.js: install it" \
		"(Debian: apt install npm; https://nodejs.org)" >&2; exit 1; }
	@mkdir -p $(@D)
	cp $(FROM)/package.json $(FROM)/package-lock.json $(@D)
	npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund
	@touch $@
