# Two commands do everything: `make demo` and `make test`. They need Python 3.11 to 3.13, git and make, and nothing else.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo "$$p" && break; done)
BIN := .venv/bin
TEMPLATE := cookiecutter/{{cookiecutter.project_slug}}

.PHONY: help setup demo test test-fast benchmark-gate benchmark-policy lint docs format lock dist clean

help:  ## Show this help
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.ready  ## Make the virtual environment (.venv) from the lock, hash by hash

.venv/.ready: requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: titlebout needs Python 3.11, 3.12 or 3.13; install one, or name it: make PYTHON=/path/to/python3"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; echo "error: cannot make a virtual environment; on Debian: apt install python3-venv"; exit 2; }
	@test -x $(BIN)/uv || { echo "installing uv ..."; $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; }
	@echo "installing the locked packages ..."
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip sync --quiet --require-hashes requirements-dev.lock
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## Replay a year of flights through the loop (about 8 minutes); ARGS=--full uses all flights
	@$(BIN)/python -m demo $(ARGS)

test: setup  ## Run every test that this machine can run
	$(BIN)/python -m pytest -n 2 --dist loadscope $(ARGS)

test-fast: setup  ## Run the tests that take milliseconds: unit and cli
	$(BIN)/python -m pytest -n 2 tests/unit tests/cli $(ARGS)

benchmark-gate: setup  ## Measure the gate's error rates again (about 15 minutes); ARGS=--quick takes two
	@$(BIN)/python benchmarks/gate/run.py $(ARGS)

benchmark-policy: setup  ## Play years under six policies again (about 20 minutes); ARGS=--quick takes three
	@$(BIN)/python benchmarks/policy/run.py $(ARGS)

lint: setup  ## Style, types, layers, workflow security and schemas
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

# Not with --quiet: mkdocs would not count its warnings, and --strict would let them pass.
docs: setup  ## Build the documentation site into build/site; every link and anchor has to lead somewhere
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: setup  ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

LOCK := pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links --quiet $(ARGS)

lock:  ## Resolve the dependencies again (ARGS=--upgrade takes the newest); hashes, and no address of any index
	$(BIN)/uv $(LOCK) pyproject.toml --group project --output-file requirements.lock
	$(BIN)/uv $(LOCK) --group serve --constraint requirements.lock --output-file requirements-serve.lock
	$(BIN)/uv $(LOCK) pyproject.toml --group dev --constraint requirements.lock --output-file requirements-dev.lock

dist: setup  ## Build the wheel and the sdist into dist/
	rm -rf dist
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist

clean:  ## Remove what the other targets made
	rm -rf .venv build dist
