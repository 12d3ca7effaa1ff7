# Every target does its own set-up. A fresh machine needs python3 (3.11 or newer), make and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NATIVE := $(VENV)/.native
ROOMS := core plugins/cloudwatch plugins/parsers plugins/processors plugins/sinks server
SOURCES := core/src plugins/cloudwatch/src plugins/parsers/src plugins/processors/src plugins/sinks/src server/src

# What the web page is built from, and what is newest of what was built.
PAGE := server/src/vectadb_server/page/index.html
PAGE_SOURCES := $(shell find server/ui -type f -not -path '*/node_modules/*' -not -name .gitignore)

.PHONY: install page page-types bench-ui screenshots demo test coverage bench chaos accuracy recordings docs smoke-aws lint clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    the main job, end to end, on this machine: CloudWatch (emulated) in, traces out"
	@echo "make test    every test"
	@echo "make coverage  every test, and which lines and branches they reach"
	@echo "make bench   how fast, measured"
	@echo "make chaos   nothing lost, nothing twice: kills, outages, late events, with figures (about half an hour)"
	@echo "make accuracy  what is understood of each framework's output, against what really happened"
	@echo "make recordings  frameworks' output, recorded anew by running them (needs a package index)"
	@echo "make docs    the generated pages of docs/, anew"
	@echo "make smoke-aws  against a real account: writes lines to a test log group, ships them, prints the certificate"
	@echo "make lint    formatting, lint, types"
	@echo "make page    the web page, built anew where its sources changed; make page-types: its types of the API"
	@echo "make bench-ui  how quick the web page is, in a browser; make screenshots: pictures of all its views"
	@echo "make install the virtual environment .venv with everything in it (the others do this themselves)"

install: $(INSTALLED) $(NATIVE) $(PAGE)

# uv lives inside the environment: it makes the one install of everything a matter of seconds.
$(INSTALLED): constraints.txt requirements-dev.txt $(ROOMS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "python3 is %d.%d here; 3.11 or newer is needed (make PYTHON=python3.12 …)" % sys.version_info[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@echo "installing into $(VENV) …"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --requirement requirements-dev.txt $(ROOMS:%=--editable %)
	@touch $@

# What of the server is compiled. It takes a Rust toolchain; without one the server does the same, in more time.
$(NATIVE): $(INSTALLED) native/Cargo.toml native/pyproject.toml $(wildcard native/src/*.rs)
	@if ! command -v cargo > /dev/null; then \
	    echo "no cargo here: the server runs without vectadb-native"; \
	else \
	    echo "compiling vectadb-native …"; \
	    $(BIN)/uv pip install --quiet --python $(BIN)/python --build-constraint constraints.txt \
	        --reinstall-package vectadb-native ./native \
	    || echo "it did not compile (see above): the server runs without vectadb-native"; \
	    touch $@; \
	fi

# The page's files travel in the server's wheel; its types of the API follow the server by `make page-types`.
page: $(PAGE)

$(PAGE): $(INSTALLED) $(PAGE_SOURCES)
	@echo "building the web page …"
	@$(BIN)/python server/ui/build.py
	@touch $@

page-types: $(INSTALLED)
	@$(BIN)/python server/ui/build.py types

# Compiled modules are kept whatever the environment says: half of a second start would be compiling.
demo: $(INSTALLED) $(PAGE)
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m demo

# Three at a time, since much of it waits for programs; in one process: make test ARGS="-n 0". Compiled modules are kept
# whatever the environment says: the tests start programs by the hundred, and half of a start would be compiling.
test: install
	@$(BIN)/python -m server.tests.page.browser
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n 3 --dist worksteal --durations=10 $(ARGS)

# The same with each line and branch counted, in the programs that tests start, too: 1.7 times the processor time. CI runs it.
coverage: export COVERAGE_FILE := $(CURDIR)/.coverage
coverage: install
	@$(BIN)/python -m server.tests.page.browser
	@rm -f .coverage .coverage.*
	PYTHONDONTWRITEBYTECODE= $(BIN)/coverage run -m pytest -q -n 3 --dist worksteal $(ARGS)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='core/src/*' --fail-under=95
	$(BIN)/coverage report --fail-under=90

bench: $(INSTALLED) $(NATIVE)
	$(BIN)/python -m benchmarks $(ARGS)

# How quick the page is in a browser; and pictures of all its views, to be looked at.
bench-ui: install
	@$(BIN)/python -m server.tests.page.bench $(ARGS)

screenshots: install
	@$(BIN)/python -m server.tests.page.screenshots

chaos: $(INSTALLED) $(NATIVE)
	$(BIN)/python -m benchmarks.chaos $(ARGS)

accuracy: $(INSTALLED)
	$(BIN)/python -m benchmarks.accuracy $(ARGS)

recordings: $(INSTALLED)
	$(BIN)/python tests/recordings/make.py $(ARGS)

docs: $(INSTALLED)
	@$(BIN)/python -m docs

# Credentials and region as AWS's tools find them; make smoke-aws ARGS="--group /my/test --lines 5000"
smoke-aws: $(INSTALLED)
	@$(BIN)/python -m demo.smoke $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(SOURCES) $(wildcard examples/*/*.py) benchmarks demo docs
	$(BIN)/python server/ui/build.py check
	@if command -v cargo > /dev/null; then set -x; \
	    cargo fmt --manifest-path native/Cargo.toml --check && \
	    cargo clippy --quiet --release --manifest-path native/Cargo.toml -- --deny warnings; fi

clean:
	rm -rf native/target $(VENV) .venv-recordings .pytest_cache .mypy_cache .ruff_cache .hypothesis
