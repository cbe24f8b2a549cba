# make demo: label shipped real data with the embedded model. make test: every check and test. make torture: the long
# tests of what must survive kills, failing disks and lying servers, which fill the table of docs/reliability.md.
# make bench: speed and memory, a quarter of an hour; writes docs/benchmarks.md.
# Nothing but Python 3.11+, make and the package registry is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test torture bench lint setup clean lock

demo: setup
	$(BIN)/postil demo

test: setup lint
	$(BIN)/python -m pytest

torture: setup
	$(BIN)/python -m tests.torture

bench: setup
	$(BIN)/python -m benchmarks --write

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Postil needs Python 3.11 or later, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lock:
	uv pip compile pyproject.toml --extra all --group dev --universal --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 --output-file requirements.lock

clean:
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .hypothesis
