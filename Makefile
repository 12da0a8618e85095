# Each target sets up everything it needs on a machine with Python ≥ 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

export PYTHONUNBUFFERED := 1

.PHONY: run demo test test-faults test-browser screenshots bench coverage lint audit fuzz format requirements clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 16

$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11, 3.12 or 3.13 is required: set PYTHON to it")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned packages of requirements-dev.txt …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

run: $(READY)  ## run the whole product on this machine (PORT, VAR_DIR); Ctrl-C stops it
	@$(BIN)/python -m devstack run

demo: $(READY)  ## play a short story: a push, a failing receiver, auto-disable, re-enable
	@$(BIN)/python -m devstack exec $(BIN)/python -m devstack.demo

# The packages of the example receiver in Express. Without Node.js its tests are left out.
EXPRESS := docs/receivers/express/node_modules/.package-lock.json
$(EXPRESS): docs/receivers/express/package-lock.json
	@! command -v npm >/dev/null || npm ci --silent --no-audit --no-fund --prefix $(dir $<) \
		|| echo "npm could not install Express: the tests leave out its receiver"

test: $(READY) $(EXPRESS)  ## run the test suite in parallel, on real PostgreSQL and Redis
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not faults and not browser" tests

test-faults: $(READY) $(EXPRESS)  ## run the fault tests (killed servers, hostile receivers) and all slow tests
	@$(BIN)/python -m devstack.tools.fault_tools
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow tests
	$(BIN)/python -m pytest -m faults tests

test-browser: $(READY)  ## test the console in a real Chromium, installed if possible
	@$(BIN)/python -m devstack.tools.chromium
	$(BIN)/python -m pytest -n auto --dist worksteal -m browser tests/browser

screenshots: $(READY)  ## create docs/screenshots from an account with a history
	@$(BIN)/python -m devstack.tools.chromium
	@$(BIN)/python -m devstack exec $(BIN)/python -m tests.browser.screenshots

bench: $(READY)  ## run the benchmarks, or SCENARIO=drain, slow, ingest, event_log or deletion; write bench/results.json
	@$(BIN)/python -m devstack exec $(BIN)/python -m bench $(if $(SCENARIO),--scenario $(SCENARIO))

coverage: $(READY) $(EXPRESS)  ## list the lines and branches that no fast test reaches
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not faults and not browser" \
		--cov --cov-report=term:skip-covered tests

lint: $(READY)  ## check code, types, imports, migrations, settings, packages, spelling and style of English
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	DJANGO_SETTINGS_MODULE=settings.test $(BIN)/python -W ignore -m django makemigrations --check --dry-run
	DJANGO_SETTINGS_MODULE=settings.test $(BIN)/python -m django check
	DJANGO_SETTINGS_MODULE=settings.test $(BIN)/python -m lint.migrations
	$(BIN)/python -m pip check
	$(BIN)/codespell
	$(BIN)/python -m lint.prose

# Only the packages that a release installs: development packages are not exposed to users.
audit: $(READY)  ## look for known vulnerabilities in the pinned packages; needs the internet
	$(BIN)/uv tool run pip-audit --disable-pip --require-hashes -r requirements.txt

fuzz: $(READY)  ## fuzz each target, guided by coverage, for SECONDS (60)
	$(BIN)/python -m tests.security.fuzz -max_total_time=$(or $(SECONDS),60)

format: $(READY)  ## fix and format the code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements"

requirements: $(READY)  ## compile the pinned requirements from pyproject.toml (UPGRADE=--upgrade for newer ones)
	$(UV_COMPILE) $(UPGRADE) pyproject.toml -o requirements.txt
	$(UV_COMPILE) $(UPGRADE) pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt

clean:  ## delete the virtual environment and the data of make run
	rm -rf .venv var .cache
