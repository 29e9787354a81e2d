# `make demo` and `make test` need only Python 3.11 to 3.13, git and make.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo "$$p" && break; done)
BIN := .venv/bin
TEMPLATE := cookiecutter/{{cookiecutter.project_slug}}

.PHONY: help setup demo test test-fast test-nightly coverage benchmark-gate benchmark-policy lint docs play-docs format lock dist clean

help:  ## Show this help
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.ready  ## Create the virtual environment (.venv) from requirements-dev.lock, with verified hashes

.venv/.ready: requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: titlebout needs Python 3.11, 3.12 or 3.13; install one, or name it: make PYTHON=/path/to/python3"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; echo "error: cannot make a virtual environment; on Debian: apt install python3-venv"; exit 2; }
	@test -x $(BIN)/uv || { echo "installing uv ..."; $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; }
	@echo "installing the locked packages ..."
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip sync --quiet --require-hashes requirements-dev.lock
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## Simulate a year of flights in a generated repository (about 8 minutes); ARGS=--full uses all flights
	@$(BIN)/python -m demo $(ARGS)

# Without bytecode files, each process that a test starts compiles two thousand modules again.
unexport PYTHONDONTWRITEBYTECODE
# Two workers use two cores: threads of their models would wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --durations 10

test: setup  ## Run all tests except those of test-nightly; skip tests whose tools are not installed
	$(PYTEST) --hypothesis-profile ci -m "not nightly" $(ARGS)

test-fast: setup  ## Run tests/unit and tests/cli, which start no other process (under a minute)
	$(PYTEST) --hypothesis-profile fast -m "not nightly" tests/unit tests/cli $(ARGS)

test-nightly: setup  ## Run the slow tests: pairs of faults, error rates, benchmarks, 300 examples per property
	$(PYTEST) --hypothesis-profile nightly -m nightly $(ARGS)
	$(PYTEST) --hypothesis-profile nightly -m "not nightly" tests/unit tests/cli $(ARGS)

# Two threads that start at once can disturb the tracer of Python 3.11; pytest would report it as an error of a test.
coverage: setup  ## Measure branch coverage of the unit, cli and integration tests; fails below the minimum
	$(PYTEST) --hypothesis-profile fast -m "not nightly" -p no:unraisableexception --cov --cov-report term-missing \
		--cov-fail-under 93 tests/unit tests/cli tests/integration $(ARGS)

benchmark-gate: setup  ## Measure the error rates of the gate (about 15 minutes; with ARGS=--quick about 2)
	@$(BIN)/python benchmarks/gate/run.py $(ARGS)

benchmark-policy: setup  ## Compare six retraining strategies by simulation (about 20 minutes; with ARGS=--quick about 3)
	@$(BIN)/python benchmarks/policy/run.py $(ARGS)

lint: setup  ## Check style, types, layers, spelling, workflow security, schemas and documentation
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/zizmor --offline --strict-collection --persona auditor --quiet . '$(TEMPLATE)'
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml '$(TEMPLATE)'/.github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml '$(TEMPLATE)/.github/dependabot.yml'
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(MAKE) --no-print-directory docs

# Without --quiet: with it, mkdocs does not count warnings, and --strict cannot fail on them.
docs: setup  ## Build the documentation site into build/site; fails on a broken link or anchor
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

play-docs: setup  ## Run every command of README.md, the tutorial and the how-to pages as a newcomer (half an hour; ARGS=PAGE for one)
	@$(BIN)/python scripts/play_docs.py $(ARGS)

format: setup  ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

LOCK := pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links --quiet $(ARGS)

lock:  ## Update the lock files (ARGS=--upgrade: newest versions), with hashes and without index URLs
	$(BIN)/uv $(LOCK) pyproject.toml --group project --output-file requirements.lock
	$(BIN)/uv $(LOCK) --constraint requirements.lock --output-file requirements-serve.lock requirements-serve.in
	$(BIN)/uv $(LOCK) pyproject.toml --group dev --constraint requirements.lock --output-file requirements-dev.lock

dist: setup  ## Build the wheel and the sdist into dist/
	rm -rf dist
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist

clean:  ## Remove the files that the other targets generate
	rm -rf .venv build dist
