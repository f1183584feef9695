# `make run` and `make test` are all that a newcomer needs; each sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 5000
# Python keeps what it has compiled, wherever make runs: each of the many processes of the tests would compile it again.
export PYTHONDONTWRITEBYTECODE =
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

run: export BOOKSHOP_DEMO = 1
run: export BOOKSHOP_BASE_URL ?= http://$(HOST):$(PORT)
run: export BESIDE = worker# not written out below, so that who kills the worker by its name does not hit its shell

.PHONY: run test prove mutants check lint bench screenshots clean

run: $(VENV)/installed
	$(BIN)/flask demo
	@# The server, and beside it the worker that sends e-mail, started again if it dies; one signal ends both.
	@(trap 'kill $$child; exit' TERM HUP; while :; do $(BIN)/flask $$BESIDE & child=$$!; wait $$child; sleep 1; done) & worker=$$!; \
	$(BIN)/gunicorn --bind $(HOST):$(PORT) --worker-class bookshop.web.server.Buffering --threads 8 --no-control-socket wsgi:app & server=$$!; \
	trap 'kill $$worker $$server 2>/dev/null' EXIT INT TERM HUP; \
	wait $$server

# `make test ALL=1` runs every case on PostgreSQL, too, and compares what the database is sent: see tests/support/cases.py.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "not prove" -n 3 --dist worksteal $(if $(ALL),--all-cases) $(ARGS)

prove: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m prove -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)
	$(BIN)/python -m tests.mutants --sample 10

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

clean:
	rm -rf $(VENV) build screenshots test-results *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) -e '.[dev]'
	touch $@
