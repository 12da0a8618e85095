# Each target sets up all that it needs, on a machine with Python ≥ 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

export PYTHONUNBUFFERED := 1

.PHONY: run demo test test-faults test-browser screenshots bench coverage lint audit fuzz format requirements clean help

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 16

$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11 to 3.13 is needed: set PYTHON to one")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing what requirements-dev.txt pins …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

run: $(READY)  ## the whole product on this machine (PORT, VAR_DIR); Ctrl-C stops it
	@$(BIN)/python -m devstack run

demo: $(READY)  ## one short story, from an empty start to exit code 0
	@$(BIN)/python -m devstack exec $(BIN)/python -m devstack.demo

# What the receiver in Express needs, where there is a Node.js; without one it is left out.
EXPRESS := docs/receivers/express/node_modules/.package-lock.json
$(EXPRESS): docs/receivers/express/package-lock.json
	@! command -v npm >/dev/null || npm ci --silent --no-audit --no-fund --prefix $(dir $<) \
		|| echo "npm could not install Express: its receiver is left out"

test: $(READY) $(EXPRESS)  ## the test-suite, in parallel, on real PostgreSQL and Redis
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not faults and not browser" tests

test-faults: $(READY) $(EXPRESS)  ## servers killed in the middle of things, hostile receivers, and all that takes long
	@$(BIN)/python -m devstack.tools.fault_tools
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow tests
	$(BIN)/python -m pytest -m faults tests

test-browser: $(READY)  ## the console in a real Chromium, which is installed where it may be
	@$(BIN)/python -m devstack.tools.chromium
	$(BIN)/python -m pytest -n auto --dist worksteal -m browser tests/browser

screenshots: $(READY)  ## docs/screenshots, from the product with an account that has a past
	@$(BIN)/python -m devstack.tools.chromium
	@$(BIN)/python -m devstack exec $(BIN)/python -m tests.browser.screenshots

bench: $(READY)  ## the benchmarks (SCENARIO=drain, slow, ingest, event_log or deletion): tables, and bench/results.json
	@$(BIN)/python -m devstack exec $(BIN)/python -m bench $(if $(SCENARIO),--scenario $(SCENARIO))

coverage: $(READY) $(EXPRESS)  ## the lines and branches that no fast test reaches
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not faults and not browser" \
		--cov --cov-report=term:skip-covered tests

lint: $(READY)  ## code, types, import contracts, migrations, system checks, pins, words
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

# The packages that a release installs; those of the development group serve nobody.
audit: $(READY)  ## known weaknesses of the pinned packages; needs the internet
	$(BIN)/uv tool run pip-audit --disable-pip --require-hashes -r requirements.txt

fuzz: $(READY)  ## guided by coverage, so many seconds for each target (SECONDS=60)
	$(BIN)/python -m tests.security.fuzz -max_total_time=$(or $(SECONDS),60)

format: $(READY)  ## what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements"

requirements: $(READY)  ## compile the pins from pyproject.toml (UPGRADE=--upgrade for newer ones)
	$(UV_COMPILE) $(UPGRADE) pyproject.toml -o requirements.txt
	$(UV_COMPILE) $(UPGRADE) pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt

clean:  ## the virtual environment and the data of make run
	rm -rf .venv var .cache
