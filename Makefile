# make help lists what there is to make. What comes after ## here is its text.

# The first Python found that movierec runs on; make PYTHON=... names another.
IN_RANGE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
  "$$python" -c '$(IN_RANGE)' 2>/dev/null && { echo "$$python"; break; }; done)
BIN := .venv/bin

UP_OPTIONS := $(if $(DATA),--data "$(DATA)") $(if $(PORT),--port $(PORT)) \
              $(if $(WORKERS),--workers $(WORKERS)) $(if $(ALGORITHM),--algorithm $(ALGORITHM))

.DEFAULT_GOAL := help
.PHONY: help up dev test test-fast lint check profile mutants matrix install install-dev hooks lock clean

help: ## print this
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r target text; do \
	  printf '  make %-12s %s\n' "$$target" "$$text"; done

up: install ## start everything on this machine (DATA=dir PORT=n WORKERS=n ALGORITHM=a)
	@exec $(BIN)/movierec up $(UP_OPTIONS)

dev: install-dev ## the same in the terminal, each process started again when its code changes
	@exec $(BIN)/python -m tests.dev $(UP_OPTIONS)

# Files that take longest come first (tests/conftest.py), which is not what xdist would do.
PARALLEL := --numprocesses auto --dist loadfile --no-loadscope-reorder
test: install-dev ## run the whole test suite (TEST_OPTIONS="tests/gateway -x" runs a part, COVERAGE=1 measures)
	@$(BIN)/pytest $(or $(TEST_OPTIONS),$(PARALLEL)) $(if $(COVERAGE),--cov --cov-report=term)

test-fast: install-dev ## run all tests but the slow ones and those of the whole service
	@$(BIN)/pytest $(PARALLEL) -m "not system and not slow" $(TEST_OPTIONS)

lint: install-dev ## check style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint ## all that CI does: lint, and the whole test suite with its coverage
	@$(MAKE) --no-print-directory test COVERAGE=1

profile: install-dev ## write a flame graph of a running process (NAME=gateway|worker or PID=n or COMMAND="movierec ..."; DURATION=n FORMAT=speedscope)
	@$(BIN)/python -m tests.profiling $(if $(NAME),--name $(NAME)) $(if $(PID),--pid $(PID)) \
	  $(if $(DURATION),--duration $(DURATION)) $(if $(FORMAT),--format $(FORMAT)) $(if $(COMMAND),-- $(COMMAND))

# An environment of its own: mutmut brings setproctitle, by which RQ renames processes that tests look for.
MUTMUT := mutmut==3.8.1
mutants: .venv/mutants/installed ## show which changes of the code no test notices (MODULE=path MINUTES=n for each)
	@nice -n 15 .venv/mutants/bin/python -m tests.mutants $(MODULE) $(if $(MINUTES),--minutes $(MINUTES))

install: .venv/installed ## only install, into .venv
install-dev: .venv/installed-dev ## install what developers need, too
hooks: install-dev ## have git run the linters before each commit
	@$(BIN)/pre-commit install

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
lock: ## write the lock files anew from pyproject.toml
	@uv=$$(command -v uv) || { fetched=$$(mktemp -d) && trap 'rm -rf "$$fetched"' EXIT && "$(PYTHON)" -m venv "$$fetched" && \
	  "$$fetched/bin/pip" install --quiet --disable-pip-version-check uv && uv=$$fetched/bin/uv; } && set -x && \
	  "$$uv" $(LOCK) pyproject.toml -o requirements.lock && \
	  "$$uv" $(LOCK) --extra dev --constraint requirements.lock pyproject.toml -o requirements-dev.lock

# Not by .venv: a stranger's machine has none.
matrix: ## install, up, lint and test in a clean clone, on each Python here (MATRIX_PYTHONS=3.12,3.13 QUICK=1, without the tests)
	@"$(PYTHON)" tests/matrix.py $(if $(MATRIX_PYTHONS),--pythons "$(MATRIX_PYTHONS)") $(if $(QUICK),--quick)

clean: ## remove what was installed and cached
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage
