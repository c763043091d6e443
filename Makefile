# Every target sets up what it needs in .venv, with nothing but Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

PIP := pip install --quiet --disable-pip-version-check
# The first pip that knows groups of dependencies; Python 3.11 comes with an older one.
WITH_GROUPS := "pip>=25.1"

CHECK_SCHEMA := $(BIN)/check-jsonschema --builtin-schema

# Small tests that run every line of the kernels, which take hours as Python for all tests.
# NumPy's scalars warn of infinities, compiled code doesn't.
UNCOMPILED := tests/test_golden.py tests/features/test_features.py \
	$(addprefix tests/_compiled/test_kernels.py::test_, arithmetic_of_the_exponential logarithm \
		extrapolation_in_logarithms extrapolation_is_never_worse_than_plain_iterations[0.1] \
		scalings_that_leave_the_range_are_found_in_logarithms pooling_is_a_matrix_product \
		plans_of_sets_on_the_edges_of_blocks) \
	$(addprefix tests/matching/test_gradients.py::test_, pooling_goes_back \
		the_reduced_system_is_the_dense_one attention_has_a_softmax_for_each_support \
		a_plan_that_is_all_but_decided_has_no_gradient) \
	tests/transport/test_relaxation.py::test_a_small_relaxation_is_softmax_of_the_shifted_similarity \
	tests/transport/test_transport.py::test_zero_masses_take_no_part \
	tests/embeddings/test_convolution.py::test_embedding_of_windows

# Where tests run in parallel, threads of BLAS would only wait for each other.
PARALLEL := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

# How long `make fuzz` runs, and which cases it draws.
MINUTES ?= 10
SEED ?= 0

# Where `make accuracy` finds graphs, and other targets sentences and sequences; where
# `make token-vectors` stores the vectors of sentences.
DATA_HOME ?= data
CACHE ?= .token_vectors

.PHONY: demo lint test test-layers test-engines test-anndata test-slow format docs defaults accuracy \
	labels parts single-cells token-vectors transcription-factors paper bench bench-layer \
	bench-training bench-pieces \
	test-versions test-lowest test-newest test-prereleases dist test-dist fuzz exactness coverage mutation clean

demo: $(VENV)/demo.installed  ## Compare poolings of digits' point sets; draw the plan
	$(BIN)/python docs/examples/digits_point_sets.py

lint: $(VENV)/tests.installed  ## Check style, imports between packages, and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

test: lint  ## Lint, then run the quicker tests and the examples of docstrings
	$(PARALLEL) $(BIN)/python -m pytest --numprocesses auto --dist loadgroup

test-layers: $(VENV)/layers.installed  ## Run the tests of `otk_sklearn.torch`, with PyTorch
	$(PARALLEL) $(BIN)/python -m pytest -m "slow or not slow" --numprocesses auto tests/layers \
		tests/test_docstrings.py tests/test_documents.py

test-engines: $(VENV)/engines.installed  ## Run the tests on Dask, Spark and Ray
	$(PARALLEL) $(BIN)/python -m pytest -m engines tests/engines

test-anndata:  ## Run the tests of AnnData, which needs an older pandas than the others
	$(PYTHON) -m venv --clear $(VENV)-anndata
	$(VENV)-anndata/bin/python -m $(PIP) $(WITH_GROUPS)
	$(VENV)-anndata/bin/python -m $(PIP) --editable . --group anndata
	$(PARALLEL) $(VENV)-anndata/bin/python -m pytest tests/sets/test_anndata.py

test-slow: $(VENV)/tests.installed  ## Run the tests that take longest
	$(PARALLEL) $(BIN)/python -m pytest -m slow --numprocesses auto --dist loadgroup

format: $(VENV)/tests.installed  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/docs.installed  ## Build the documentation into docs/_build
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build

accuracy: $(VENV)/peers.installed  ## Accuracy and times of all embeddings, and of other libraries
	$(BIN)/python benchmarks/accuracy/compare_embeddings.py
	$(BIN)/python benchmarks/accuracy/bags_and_graphs.py --data-home $(DATA_HOME)
	$(PYTHON) -m venv --clear $(VENV)-aeon
	$(VENV)-aeon/bin/python -m $(PIP) $(WITH_GROUPS)
	$(VENV)-aeon/bin/python -m $(PIP) --group aeon
	$(VENV)-aeon/bin/python benchmarks/accuracy/series_classifiers.py

labels: $(VENV)/benchmarks.installed  ## Effect of training with labels on real data
	$(BIN)/python benchmarks/accuracy/labels.py

parts: $(VENV)/benchmarks.installed  ## Effect of each part of the method on real data
	$(BIN)/python benchmarks/accuracy/parts.py

single-cells: $(VENV)/benchmarks.installed  ## Pooling of the cells of 60 patients, generated
	$(BIN)/python benchmarks/accuracy/single_cells.py

token-vectors: $(VENV)/encoder.installed  ## Settings for vectors of a neural network, on DATA_HOME=data
	HF_HUB_OFFLINE=1 $(BIN)/python benchmarks/accuracy/token_vectors.py \
		--data-home $(DATA_HOME) --cache $(CACHE)

transcription-factors: $(VENV)/networks.installed  ## Pooling in networks for DNA, on DATA_HOME=data
	$(BIN)/python benchmarks/accuracy/_transcription_factors.py --data-home $(DATA_HOME)
	$(BIN)/python benchmarks/accuracy/transcription_factors.py --data-home $(DATA_HOME) \
		--problems "300 a factor" --seeds 0
	$(BIN)/python benchmarks/accuracy/transcription_factors.py --data-home $(DATA_HOME) \
		--problems "3,000 a factor"

paper: $(VENV)/networks.installed  ## The paper's experiments on proteins and DNA, on DATA_HOME=data
	$(BIN)/python benchmarks/paper/scop175.py --data-home $(DATA_HOME) \
		--problems "SCOP 1.75" "SCOP 1.75, large folds" "remote homology" --methods mean \
		"mean, length*" "Sliced*" "Fisher*" "KernelMean*" "*10 supports*" "*10 x 64" \
		"*positions" "*positions, length" "*positions, length, BLOSUM62"
	$(BIN)/python benchmarks/paper/scop175.py --data-home $(DATA_HOME) \
		--problems "SCOP 1.75, large folds" --methods "*10 x 64, labels" "*BLOSUM62, labels"
	$(BIN)/python benchmarks/paper/dna.py --data-home $(DATA_HOME)

bench: $(VENV)/speed.installed  ## Speed against peers and against the matrix products alone
	$(BIN)/python benchmarks/speed/transform.py
	$(BIN)/python benchmarks/speed/small_epsilon.py
	$(BIN)/python benchmarks/speed/startup.py
	$(BIN)/python benchmarks/speed/latency.py
	$(BIN)/python benchmarks/speed/fit.py

bench-training: $(VENV)/training.installed  ## Speed of training against PyTorch
	$(BIN)/python benchmarks/speed/training.py

bench-layer: $(VENV)/training.installed  ## Speed and memory of the layer in a network
	$(BIN)/python benchmarks/speed/layer.py

bench-pieces: $(VENV)/speed.installed  ## Times and memory of the pieces, kept in .asv
	cd benchmarks && ../$(BIN)/asv machine --yes
	cd benchmarks && ../$(BIN)/asv run --environment existing:../$(BIN)/python \
		--set-commit-hash $$(git rev-parse HEAD) --show-stderr

defaults: $(VENV)/benchmarks.installed  ## The tables that the defaults were chosen from
	$(BIN)/python benchmarks/accuracy/defaults.py
	$(BIN)/python benchmarks/accuracy/set_weights.py

test-versions: test-lowest test-newest  ## Run the tests on the lowest and newest versions

test-newest:  ## Run the tests on the newest versions that can be installed
	$(PYTHON) -m venv --clear $(VENV)-newest
	$(VENV)-newest/bin/python -m $(PIP) $(WITH_GROUPS)
	$(VENV)-newest/bin/python -m $(PIP) --upgrade --upgrade-strategy eager \
		--editable . --group tests
	$(VENV)-newest/bin/python -m pytest

test-lowest:  ## Run the tests on the lowest versions that pyproject.toml declares
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(VENV)-lowest/bin/python -m $(PIP) $(WITH_GROUPS)
	$(VENV)-lowest/bin/python -m $(PIP) \
		--constraint tests/lowest-versions.txt --editable . --group tests
	$(VENV)-lowest/bin/python -m pytest
	$(VENV)-lowest/bin/python docs/examples/digits_point_sets.py

test-prereleases:  ## Run the tests on versions of other packages that are yet to come
	$(PYTHON) -m venv --clear $(VENV)-prereleases
	$(VENV)-prereleases/bin/python -m $(PIP) $(WITH_GROUPS)
	$(VENV)-prereleases/bin/python -m $(PIP) --pre --upgrade --upgrade-strategy eager \
		--editable . --group tests
	$(VENV)-prereleases/bin/python -m pytest

dist: $(VENV)/release.installed  ## Build sdist and wheel into dist/, and check what is published
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/check-sdist
	$(BIN)/pyroma --min 8 dist/*.tar.gz
	$(BIN)/validate-pyproject pyproject.toml
	$(CHECK_SCHEMA) vendor.github-workflows .github/workflows/*.yml
	$(CHECK_SCHEMA) vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(CHECK_SCHEMA) vendor.readthedocs .readthedocs.yaml
	$(CHECK_SCHEMA) vendor.citation-file-format CITATION.cff
	$(BIN)/python -c "from rattler_build import Stage0Recipe, VariantConfig; \
		Stage0Recipe.from_file('conda/recipe.yaml').render(VariantConfig())"
	sha256sum dist/*

# The wheel is used from outside of the repository; the sdist tests itself.
test-dist: dist  ## Install the wheel and run the demonstration; run the tests of the sdist
	$(PYTHON) -m venv --clear $(VENV)-dist
	$(VENV)-dist/bin/python -m $(PIP) $(WITH_GROUPS)
	wheel=$$(echo dist/*.whl) && $(VENV)-dist/bin/python -m $(PIP) "$$wheel[display]"
	cd $(VENV)-dist && bin/python ../docs/examples/digits_point_sets.py
	tar -xzf dist/*.tar.gz -C $(VENV)-dist --strip-components=1 --one-top-level=sdist
	cd $(VENV)-dist/sdist && ../bin/python -m $(PIP) --editable . --group tests
	cd $(VENV)-dist/sdist && $(PARALLEL) ../bin/python -m pytest --numprocesses auto \
		--dist loadgroup

fuzz: $(VENV)/tests.installed  ## All combinations, then random cases for MINUTES=10, SEED=0
	$(PARALLEL) $(BIN)/python -m pytest -m pairwise --all-combinations --numprocesses auto
	$(BIN)/python tests/fuzz.py --minutes $(MINUTES) --seed $(SEED)

exactness: $(VENV)/tests.installed  ## Errors with respect to float64 in the log domain
	$(BIN)/python tests/exactness.py

coverage: $(VENV)/coverage.installed  ## Lines and branches that the tests run, kernels as Python
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not engines"
	NUMBA_DISABLE_JIT=1 $(BIN)/coverage run -m pytest -W ignore::RuntimeWarning $(UNCOMPILED)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

mutation: $(VENV)/mutation.installed  ## Mutation testing
	rm -rf mutants
	$(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results

# A group of dependencies of pyproject.toml.
$(VENV)/%.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m $(PIP) $(WITH_GROUPS)
	$(BIN)/python -m $(PIP) --editable . --group $*
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-* .asv .coverage* dist mutants
	rm -rf docs/_build docs/auto_examples docs/auto_tutorial docs/generated
