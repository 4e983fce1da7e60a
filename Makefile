# Needs Python 3.11 or newer and make; uv makes the installation faster. Nothing is installed outside of .venv.

.DEFAULT_GOAL := setup
.DELETE_ON_ERROR:
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
# The first of these that is new enough makes .venv.
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11 python
# make UV= installs with pip although there is a uv.
UV = $(shell command -v uv)
INSTALL = $(if $(UV),uv pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet)
# Options of `ordermgmt run`: make run ARGS="--guide"
ARGS ?=
# Options of pytest: make test TESTS="tests/unit -k tokens"
TESTS ?=

.PHONY: setup run demo guide test test-postgres bench trace bench-calls bench-tokens bench-orders bench-sts bench-telemetry profile crash-test lint style types format lock clean mutation stateful npm conformance metrics reference dist test-browser screenshots

setup: $(VENV)/.dev  ## everything for work on the project

# exec: signals go straight to Python, so that the first Ctrl-C drains and the second one ends.
run: $(VENV)/.run  ## start the suite
	@exec $(BIN)/python -m ordermgmt run $(ARGS)

demo: $(VENV)/.run  ## walk the story with live tokens, against a running suite
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/demo.sh

guide: $(VENV)/.run  ## replay the guide's exchanges, against `make run ARGS=--guide`
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/guide.sh

test: $(VENV)/.dev  ## all checks but those that take minutes: .ci/run has these
	@$(SAY_USER)
	@$(MAKE) --no-print-directory -j2 style types
ifeq ($(TESTS),)
	$(BIN)/pytest -n 2 --dist loadgroup -m 'not slow and not month and not serial and not browser'
	@echo "Tests in a browser did not run: make test-browser runs them (it needs Chromium and node)."
	@echo "Nor did those that measure real time, alone: make test TESTS=\"-m 'serial and not slow'\" runs them, as .ci/run does."
else
	$(BIN)/pytest $(TESTS)
endif

DEPTH ?= 20
stateful: $(VENV)/.dev  ## many histories of orders and stock, others in every run: make stateful DEPTH=100
	$(BIN)/pytest --depth=$(DEPTH) tests/faults/test_journal_histories.py tests/faults/test_service_histories.py

# Needs Chromium and node.
test-browser: $(VENV)/.dev npm  ## the web client, in Chromium
	ORDERMGMT_TEST_INSIST=1 $(BIN)/pytest -m browser

screenshots: $(VENV)/.dev  ## pictures of the web client for the README; needs Chromium
	$(BIN)/python -m tests.chromium.screenshots docs/img/shop

# Tests of these names would find nothing else there: they are about connections, tokens and files.
NO_DATA := faults/test_unkillable contract/test_unforgeable contract/test_deployment contract/test_openapi contract/test_browser contract/test_path \
	contract/test_start_orders faults/test_rotation faults/test_jwks faults/test_pools
# make test-postgres EVERY=--every=2 runs half of the files, tomorrow the other half.
EVERY ?=
test-postgres: $(VENV)/.dev  ## the tests of whole suites and of orders once more, with their data in PostgreSQL
	@$(SAY_USER)
	$(BIN)/pytest -n 2 --dist loadgroup --database=postgres $(EVERY) -m 'not slow and not month and not serial' \
		$(NO_DATA:%=--ignore-glob='tests/%*') tests/contract tests/faults $(wildcard tests/unit/test_order_*.py)

# PostgreSQL does not run as root. The package that brings it makes a user for that, which nobody should find unawares.
SAY_USER = if [ "$$(id -u)" = 0 ] && [ -z "$$ORDERMGMT_TEST_POSTGRES" ] && ! id pgserver >/dev/null 2>&1; then \
	echo "note: as root, the tests make a system user 'pgserver' for their PostgreSQL (none with ORDERMGMT_TEST_POSTGRES)"; fi

bench-tokens: $(VENV)/.dev  ## what verifying a token costs
	$(BIN)/python -m benchmarks.tokens

bench-orders: $(VENV)/.dev  ## what an order costs; writes docs/performance-orders.md
	@$(SAY_USER)
	$(BIN)/python -m benchmarks.orders

bench-sts: $(VENV)/.dev  ## what a token costs, by grant
	$(BIN)/python -m benchmarks.sts

# make bench BENCH=--quick takes three minutes; python -m benchmarks.performance --help tells the rest.
BENCH ?=
bench: $(VENV)/.dev $(VENV)-bench/.bench  ## this suite beside a peer; the whole of it writes docs/performance.md
	$(BIN)/python -m benchmarks.performance $(BENCH)

# make profile PROFILE="get --connections=1 --service=gateway"
PROFILE ?= create
profile: $(VENV)/.dev $(VENV)-bench/.bench  ## where the time of one service goes, as a flame graph
	$(BIN)/python -m benchmarks.profile $(PROFILE)

trace: $(VENV)/.dev  ## the way of a create through all services, with the time of each hop
	@$(BIN)/python -m benchmarks.trace

bench-calls: $(VENV)/.dev  ## function calls per request, which no other work of the machine changes
	$(BIN)/python -m benchmarks.calls

bench-telemetry: $(VENV)/.dev  ## what logs and metrics cost of a create
	$(BIN)/python -m benchmarks.telemetry

$(VENV)-bench/.bench: requirements/bench.txt $(VENV)/pyvenv.cfg
	$(BIN)/python -m venv $(VENV)-bench
	$(if $(UV),uv pip install --quiet --python $(VENV)-bench/bin/python,$(VENV)-bench/bin/python -m pip install --quiet) \
		--require-hashes --requirement $<
	@touch $@

# make crash-test CRASH="--database=postgres --kills=20"; python -m tests.crash --help tells the rest.
CRASH ?=
crash-test: $(VENV)/.dev  ## kill services under load: nothing may be lost, and the stock is exact
	@$(BIN)/python -m tests.crash --unfinished=20 $(CRASH)

style: $(VENV)/.dev  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The import contracts in .importlinter run with the tests (tests/test_architecture.py).
# flake8-async takes 2 ms a line and looks at async code alone: it is not shown what cannot hold any.
ASYNC := \basync\b|\btrio\b|\basyncio\b|ExceptionGroup|BaseException|except\*|except:
lint: style  ## style, and what goes wrong in async code, which takes half a minute
	$(BIN)/flake8 $$(grep -rlE --include='*.py' '$(ASYNC)' ordermgmt tests benchmarks scripts supervisor.py)

types: $(VENV)/.dev  ## types, strictly
	$(BIN)/mypy

# make mutation MUTATION=--every=3 tries a third of them, another one each day.
MUTATION ?=
mutation: $(VENV)/.dev  ## weaken each check of a token, one at a time, and see the tests catch it
	$(BIN)/python -m tests.mutation.run $(MUTATION)

conformance: $(VENV)/.dev  ## docs/conformance.md from the tables in tests/conformance/rows
	$(BIN)/python -m tests.conformance

metrics: $(VENV)/.dev  ## the table in docs/metrics.md from a suite that runs
	$(BIN)/python -m tests.observability

reference: $(VENV)/.dev  ## docs/reference from the code: command line, HTTP API, errors
	$(BIN)/python -m tests.reference

format: $(VENV)/.dev  ## let ruff write the files
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## what was installed and cached; certs/ and var/ are data and stay
	rm -rf $(VENV) $(VENV)-bench build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Newer versions: make lock LOCK=--upgrade
LOCK ?=
COMPILE = uv pip compile pyproject.toml --no-config --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" $(LOCK)

# Everything comes from .venv, so that this works without a network.
dist: $(VENV)/.dev  ## the wheel, and an executable archive for each service and for the suite
	@rm -rf dist/ordermgmt-*.whl dist/*.pyz
	@$(BIN)/hatchling build --target wheel --directory dist
	@$(BIN)/python scripts/archives/build.py dist

lock:  ## requirements/*.txt from pyproject.toml (needs uv)
	$(COMPILE) --group build --output-file requirements/run.txt
	$(COMPILE) --extra otel --extra postgres --constraints requirements/run.txt --output-file requirements/dist.txt
	$(COMPILE) --extra otel --extra postgres --group build --group dist --group test --group lint \
		--constraints requirements/run.txt --constraints requirements/dist.txt --output-file requirements/dev.txt
	uv pip compile --no-config --quiet --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" $(LOCK) --group bench --output-file requirements/bench.txt

# One stamp per set of packages: a second `make run` looks at a few dates and starts.
$(VENV)/.%: requirements/%.txt $(VENV)/pyvenv.cfg pyproject.toml
	$(INSTALL) --require-hashes --requirement $<
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# What the tests take from npm. Tests that need it say so where there is no node; .ci/run insists.
npm: tests/npm/node_modules/.package-lock.json  ## what the tests take from npm (needs node)

tests/npm/node_modules/.package-lock.json: tests/npm/package.json tests/npm/package-lock.json
	cd tests/npm && npm ci --silent
	@touch $@

$(VENV)/pyvenv.cfg:
	@for python in $(PYTHON); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "$$python -m venv $(VENV)"; \
			exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	echo "No Python 3.11 or newer among: $(PYTHON). Name one: make PYTHON=/path/to/python3" >&2; \
	exit 1
