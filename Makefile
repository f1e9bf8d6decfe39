# Every task of the project is a target here; `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
DOCS := README.md docs/*.md deploy/example.env
# Each test that starts a program would compile the project again if this were set.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run check lint test coverage test-slow campaign format docs screenshots outlines hooks lock wheel bench clean
.DEFAULT_GOAL := help

help:  ## List the targets.
	@awk -F ':.*## ' '/^##@ / {print "\n" substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Serve

run: .venv/.runtime  ## Set up, migrate the database and serve on http://127.0.0.1:8000 (HOST, PORT and DATABASE_URL change that).
	@$(BIN)/python -m api upgrade
	@exec $(BIN)/python -m api serve

##@ Check

check: lint  ## Check what most mistakes break, in under 40 seconds: lint, and the contract tests on SQLite. Git's hooks do the same.
	$(BIN)/pytest -q -n auto -m "contract and not slow" -k "not postgresql" $$(grep -rl --include=*.py mark.contract tests)

lint: .venv/.dev  ## Check format, lint, types, layers and the generated parts of the documents.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cog --check $(DOCS)

test: lint  ## Lint, and run the tests on SQLite and PostgreSQL.
	$(BIN)/pytest -n auto -m "not slow"

coverage: lint  ## Do the same and require that the tests reach 95 % of the code.
	$(BIN)/pytest -n auto -m "not slow" --cov --cov-report=term --cov-fail-under=95

test-slow: .venv/.dev  ## Run the slow tests, in under 40 minutes: large data, fresh clones, clients and pipelines of others.
	$(BIN)/pytest -n auto --hypothesis-profile=long -m "(hypothesis or sampled) and not slow"
	$(BIN)/pytest -n auto --hypothesis-profile=long -m "slow and not campaign"

campaign: .venv/.dev  ## Run the campaigns, which take hours: random requests and orders, long races, a cluster that fails.
	$(BIN)/pytest -n auto -m campaign

##@ Write

format: .venv/.dev  ## Format the code and fix what can be fixed automatically.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.dev  ## Write the OpenAPI document, and the tables and responses in README.md and docs/, again.
	$(BIN)/python -m api.endpoints
	$(BIN)/cog -r $(DOCS)

screenshots: .venv/.dev  ## Write pictures of the pages into screenshots/, as a desk and a phone show them.
	$(BIN)/python -m tests.support.screenshots

outlines: .venv/.dev  ## Write the outlines of countries and states that maps show, from the atlases of npm packages.
	$(BIN)/python -m tests.support.outlines

hooks: .venv/.dev  ## Let Git run `make check` before each commit.
	$(BIN)/pre-commit install

lock: .venv/.dev  ## Pin the newest versions that pyproject.toml allows.
	$(BIN)/uv pip compile pyproject.toml --upgrade $(LOCK) -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group dev --upgrade -c requirements.lock $(LOCK) -o requirements-dev.lock
	$(BIN)/uv pip compile bench/peers/requirements.in -c requirements.lock --upgrade $(LOCK) -o bench/peers/requirements.lock
	$(BIN)/uv pip compile deploy/cluster/requirements.in --upgrade $(LOCK) -o deploy/cluster/requirements.lock
# Without --no-strip-extras, pip would look for `name[extra]` outside the pins and refuse it because it has no hash.
LOCK := --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate

##@ Deploy

wheel: .venv/.runtime  ## Build a package in dist/, from which pip installs the command digital-cities.
	@rm -rf dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

##@ Measure

bench: .venv/.dev  ## Race limits and peers into bench/results, or another checkout with AGAINST=FOLDER (needs wrk and nginx).
	$(BIN)/python -m bench $(if $(AGAINST),against $(AGAINST))

##@ Clean

clean:  ## Remove the files that the targets made, but not the database.
	rm -rf dist bench/peers/.venv bench/peers/*/node_modules .venv .coverage .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache screenshots

# The stamps: pip and npm run again only when a lock file changed.
.venv/.runtime: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name it with make PYTHON=...")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

.venv/.dev: requirements-dev.lock tests/html/browser/package-lock.json .venv/.runtime
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m tests.support.chromium
	@touch $@
