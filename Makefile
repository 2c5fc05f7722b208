# Three commands, each sets itself up on a fresh machine (Python 3.11 or newer, pip, make):
#   make demo    runs the main job on the embedded broker: no server, no Docker, no Java
#   make test    passes the tests (those that need Kafka use Docker, or Java and Maven, when there)
#   make soak    simulates 20,000 seeds (half an hour on two cores; SEEDS=n for another number)
PYTHON ?= python3
VENV ?= .venv
BENCH ?= jobs
SEEDS ?= 20000
# So many test processes share the files of tests out; each starts servers of its own.
TEST_PROCESSES ?= 2
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test soak lint benchmarks clean

help:
	@sed -n '/^#  /s/^#//p' Makefile

# The stamps remember which extras are installed and what was compiled; they are stale when either changes.
SOURCES := pyproject.toml hatch_build.py streamzarr/queue/kafka/_intake.c

$(VENV)/.demo: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	@# Compiling every module of every package takes longer than the demo; Python compiles what it imports.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e '.[demo]'
	@touch $@

$(VENV)/.test: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/streamzarr demo $(ARGS)

# Tests start some thousand processes: what these import is kept compiled, whatever the environment says. Files
# come in the order that tests/support/longest.py gives them: one that takes minutes may not be begun last.
test: $(VENV)/.test
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

soak: $(VENV)/.test
	$(BIN)/streamzarr simulate --seeds $(SEEDS) $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

benchmarks: $(VENV)/.test
	$(BIN)/python benchmarks/$(BENCH).py $(ARGS)

clean:
	rm -rf $(VENV) demo-output dist streamzarr/queue/kafka/_intake.*.so
