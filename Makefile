# make up                  start everything on this machine (DATA=dir PORT=n WORKERS=n ALGORITHM=a)
# make test                run the whole test suite
# make lint                style, types and import rules
# make mutants             which changes of the code no test notices (MODULE=path MINUTES=n for each)
# make install             only install, into .venv
# make lock                write the lock files anew from pyproject.toml

PYTHON ?= python3
BIN := .venv/bin

UP_OPTIONS := $(if $(DATA),--data "$(DATA)") $(if $(PORT),--port $(PORT)) \
              $(if $(WORKERS),--workers $(WORKERS)) $(if $(ALGORITHM),--algorithm $(ALGORITHM))

.PHONY: up test lint mutants install install-dev lock clean

up: install
	@exec $(BIN)/movierec up $(UP_OPTIONS)

test: install-dev
	@$(BIN)/pytest $(TEST_OPTIONS)

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

mutants: install-dev
	@nice -n 15 $(BIN)/python -m tests.mutants $(MODULE) $(if $(MINUTES),--minutes $(MINUTES))

install: .venv/installed
install-dev: .venv/installed-dev

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "movierec needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python requirements.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

# Needs uv: https://docs.astral.sh/uv. One lock for Python 3.11 to 3.13, with the hash of every file.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --extra dev --constraint requirements.lock pyproject.toml -o requirements-dev.lock

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
