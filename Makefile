# make up                  start everything on this machine (DATA=dir PORT=n WORKERS=n ALGORITHM=a)
# make test                run the whole test suite
# make lint                style, types and import rules
# make mutants             which changes of the code no test notices (MODULE=path MINUTES=n for each)
# make install             only install, into .venv
# make lock                write the lock files anew from pyproject.toml
# make matrix              all of the above in a clean clone, on each Python found here
#                          (MATRIX_PYTHONS=3.12,3.13 QUICK=1, without the test suite)

# The first Python found that movierec runs on; make PYTHON=... names another.
IN_RANGE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
  "$$python" -c '$(IN_RANGE)' 2>/dev/null && { echo "$$python"; break; }; done)
BIN := .venv/bin

UP_OPTIONS := $(if $(DATA),--data "$(DATA)") $(if $(PORT),--port $(PORT)) \
              $(if $(WORKERS),--workers $(WORKERS)) $(if $(ALGORITHM),--algorithm $(ALGORITHM))

.PHONY: up test lint mutants install install-dev lock matrix clean

up: install
	@exec $(BIN)/movierec up $(UP_OPTIONS)

test: install-dev
	@$(BIN)/pytest $(if $(TEST_OPTIONS),$(TEST_OPTIONS),--numprocesses 2 --dist loadfile)

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# An environment of its own: mutmut brings setproctitle, by which RQ renames processes that tests look for.
MUTMUT := mutmut==3.8.1
mutants: .venv/mutants/installed
	@nice -n 15 .venv/mutants/bin/python -m tests.mutants $(MODULE) $(if $(MINUTES),--minutes $(MINUTES))

install: .venv/installed
install-dev: .venv/installed-dev

.venv/bin/python:
	@"$(PYTHON)" -c '$(IN_RANGE)' 2>/dev/null || { echo \
	  "movierec needs Python 3.11 to 3.14; $(or $(PYTHON),what is on the PATH) is none of them: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { "$(PYTHON)" -c 'import sys; sys.exit( \
	  "$(PYTHON) lacks venv; on Debian and Ubuntu: apt-get install python3.%d-venv" % sys.version_info[1])'; exit 1; }
	"$(PYTHON)" -m venv --clear .venv

.venv/installed: .venv/bin/python requirements.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

.venv/mutants/installed: .venv/installed-dev
	$(BIN)/python -m venv .venv/mutants
	.venv/mutants/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	.venv/mutants/bin/python -m pip install --quiet --disable-pip-version-check $(MUTMUT)
	@touch $@

# One lock for all Pythons, each package in one version, with the hash of every file. uv is fetched if it is not here.
LOCK := pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-header
lock:
	@uv=$$(command -v uv) || { fetched=$$(mktemp -d) && trap 'rm -rf "$$fetched"' EXIT && "$(PYTHON)" -m venv "$$fetched" && \
	  "$$fetched/bin/pip" install --quiet --disable-pip-version-check uv && uv=$$fetched/bin/uv; } && set -x && \
	  "$$uv" $(LOCK) pyproject.toml -o requirements.lock && \
	  "$$uv" $(LOCK) --extra dev --constraint requirements.lock pyproject.toml -o requirements-dev.lock

# Not by .venv: a stranger's machine has none.
matrix:
	@"$(PYTHON)" tests/matrix.py $(if $(MATRIX_PYTHONS),--pythons "$(MATRIX_PYTHONS)") $(if $(QUICK),--quick)

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
