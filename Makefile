# Everything that the project does has a target here; `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help run test coverage test-slow lint format readme lock bench clean
.DEFAULT_GOAL := help

help:  ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: .venv/.runtime  ## Set up, migrate the database and serve on http://127.0.0.1:8000 (HOST, PORT, DATABASE_URL change that).
	@$(BIN)/alembic upgrade head
	@exec $(BIN)/flask --app wsgi serve

test: .venv/.dev lint  ## Set up and run every check: lint, types, layers, and the tests on SQLite and PostgreSQL.
	$(BIN)/pytest -n auto -m "not slow"

coverage: .venv/.dev  ## Run the same tests and see that they reach the code, which takes them twice as long.
	$(BIN)/pytest -n auto -m "not slow" --cov --cov-report=term --cov-fail-under=95

test-slow: .venv/.dev  ## Run the long campaigns.
	$(BIN)/pytest -n auto -m slow

lint: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cog --check README.md

format: .venv/.dev  ## Format the code and mend what can be mended.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

readme: .venv/.dev  ## Write the README's tables and answers anew.
	$(BIN)/cog -r README.md

lock: .venv/.dev  ## Pin the newest versions that pyproject.toml allows.
	$(BIN)/uv pip compile pyproject.toml --upgrade $(LOCK) -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev --upgrade -c requirements.lock $(LOCK) -o requirements-dev.lock
	$(BIN)/uv pip compile bench/peers/requirements.in -c requirements.lock --upgrade $(LOCK) -o bench/peers/requirements.lock
# Extras stay in the pins: without them pip takes the newest release for `name[extra]`, and then refuses it for its hash.
LOCK := --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate

bench: .venv/.dev  ## Measure against limits, peers and controls in the same run, into bench/results (needs wrk, and nginx for its limit).
	$(BIN)/python -m bench

clean:  ## Remove what the targets made, but not the database.
	rm -rf bench/peers/.venv bench/peers/*/node_modules .venv .coverage .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# The stamps: pip runs again only when a lock file changed.
.venv/.runtime: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name it with make PYTHON=...")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
