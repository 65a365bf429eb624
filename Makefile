# On a fresh machine: `make demo` shows milepost at work, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
WORKERS ?= 2
# Long tests wait for other processes much of the time.
SLOW_WORKERS ?= 3

.PHONY: demo test test-slow test-exhaustive check format bench docs lock clean

# The locks name every package and hash, so nothing is resolved again (--no-deps). This also keeps
# the demo free of torch, which only the package of the embedded encoder asks for. Tests compare
# with torch: its CPU build where pip finds one, else the public build with all that it asks for.
$(VENV)/.run: requirements/run.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -qq --no-deps --require-hashes -r requirements/run.lock
	$(PIP) install -qq --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.lock requirements/torch-cpu.lock $(VENV)/.run
	$(PIP) install -qq --no-deps --require-hashes -r requirements/torch-cpu.lock || $(PIP) install -qq torch==2.13.0
	$(PIP) install -qq --no-deps --require-hashes -r requirements/dev.lock
	@touch $@

DEMO ?= demo-workspace
demo: $(VENV)/.run
	@rm -rf $(DEMO)
	@$(BIN)/milepost init $(DEMO)
	@$(BIN)/milepost -w $(DEMO) improve || test $$? -eq 1 # 1: the gate said no to a task, as it should
	@$(BIN)/milepost -w $(DEMO) predict route "my parcel never arrived, where is it??"
	@$(BIN)/milepost -w $(DEMO) predict urgency "the charger is smoking, what do I do" "thanks, all good now"
	@$(BIN)/milepost -w $(DEMO) report --output $(DEMO)/report.html

test: $(VENV)/.dev
	scripts/system-packages
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow and not exhaustive"

test-slow: $(VENV)/.dev
	scripts/system-packages
	$(BIN)/python -m pytest -n $(SLOW_WORKERS) --dist worksteal -m slow || test $$? -eq 5 # 5: there is none

test-exhaustive: $(VENV)/.dev
	scripts/system-packages
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m exhaustive

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/sphinx-build --quiet -W --keep-going docs docs/_build

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	$(BIN)/python -m bench

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -W --keep-going docs docs/_build

lock: $(VENV)/.dev
	$(BIN)/python scripts/lock.py

clean:
	rm -rf $(VENV) $(DEMO) docs/_build .pytest_cache .ruff_cache .hypothesis
