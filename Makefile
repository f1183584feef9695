# `make run` and `make test` are all that a newcomer needs: both install what they need into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 5000
# Let Python cache compiled modules even if the environment says no: the tests start many processes.
export PYTHONDONTWRITEBYTECODE =
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --quiet -c constraints.txt

run: export BOOKSHOP_DEMO = 1
run: export BOOKSHOP_BASE_URL ?= http://$(HOST):$(PORT)

.PHONY: run test prove deploy-proof mutants check lint bench screenshots sheets clean

run: $(VENV)/installed
	@exec $(BIN)/gunicorn --config python:bookshop.cli.demo_server --bind $(HOST):$(PORT) wsgi:app

# `make test ALL=1` runs every case on PostgreSQL and compares the statements that are sent: see tests/support/cases.py.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "not prove" -n 3 --dist worksteal $(if $(ALL),--all-cases) $(ARGS)

prove: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m prove -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)
	$(BIN)/python -m tests.mutants --sample 10

# As root: set up the shop on empty machines and in containers, by the commands of docs/deploy.md.
deploy-proof: $(VENV)/installed-dev
	$(BIN)/python -m deploy.prove

mutants: $(VENV)/installed-dev
	$(BIN)/python -m tests.mutants $(ARGS)

check: lint test

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev
	$(BIN)/python -m bench $(ARGS)

screenshots: $(VENV)/installed-dev
	$(BIN)/python -m bench.screenshots $(ARGS)

# `make sheets BEFORE=folder`: the main pages as they were in these screenshots, and as they are in screenshots/.
sheets: $(VENV)/installed-dev
	$(BIN)/python -m bench.sheets $(BEFORE)

clean:
	rm -rf $(VENV) build screenshots test-results *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	@echo "Installing the shop into $(VENV)/ (about a minute, this once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing the tools for tests into $(VENV)/ ..."
	@$(PIP) -e '.[dev]'
	@touch $@
