# Every target sets up what it needs in .venv, with nothing but Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test format docs defaults accuracy labels parts bench bench-training bench-pieces \
	test-lowest coverage mutation clean

demo: $(VENV)/demo.installed  ## Compare poolings of digits' point sets; draw the plan
	$(BIN)/python docs/examples/digits_point_sets.py

test: $(VENV)/tests.installed  ## Lint, then run the tests and doctests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

format: $(VENV)/tests.installed  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/docs.installed  ## Build the documentation into docs/_build
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build

accuracy: $(VENV)/benchmarks.installed  ## Accuracy on real data, defaults, nothing tuned
	$(BIN)/python benchmarks/accuracy.py

labels: $(VENV)/benchmarks.installed  ## What training with labels adds on real data
	$(BIN)/python benchmarks/labels.py

parts: $(VENV)/benchmarks.installed  ## What each part of the method adds on real data
	$(BIN)/python benchmarks/parts.py

bench: $(VENV)/speed.installed  ## Speed against peers and against the matrix products alone
	$(BIN)/python benchmarks/speed.py

bench-training: $(VENV)/training.installed  ## Speed of training against PyTorch
	$(BIN)/python benchmarks/training.py

bench-pieces: $(VENV)/speed.installed  ## Times and memory of the pieces, kept in .asv
	cd benchmarks && ../$(BIN)/asv machine --yes
	cd benchmarks && ../$(BIN)/asv run --environment existing:../$(BIN)/python \
		--set-commit-hash $$(git rev-parse HEAD) --show-stderr

defaults: $(VENV)/benchmarks.installed  ## The tables that the defaults were chosen from
	$(BIN)/python benchmarks/choose_defaults.py

test-lowest:  ## Run the tests on the lowest versions that pyproject.toml declares
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet \
		--constraint tests/lowest-versions.txt --editable ".[demo,tests]"
	$(VENV)-lowest/bin/python -m pytest
	$(VENV)-lowest/bin/python docs/examples/digits_point_sets.py

coverage: $(VENV)/coverage.installed  ## Lines and branches that the tests run, kernels as Python
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	NUMBA_DISABLE_JIT=1 $(BIN)/coverage run -m pytest -m uncompiled
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

mutation: $(VENV)/mutation.installed  ## Faults put into the code, one by one, that tests miss
	rm -rf mutants
	$(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results

$(VENV)/%.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-lowest docs/_build .asv .coverage* mutants
