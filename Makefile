# Every target first makes a `.venv` in the project, with the package and its test tools in it.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-all style tables docs linkcheck parity neutral backends lowest distribution-check kill-check files mutations clean

NEXT = @printf '\n`. .venv/bin/activate` lets this shell find `kerasnets`; then try `kerasnets --help`.\n'

demo: $(READY)
	@$(BIN)/kerasnets demo
	$(NEXT)

test: $(READY)
	$(BIN)/python -m pytest -n 2 -q --dist worksteal
	$(NEXT)

test-all: $(READY)
	$(BIN)/python -m pip install -q -e ".[test,docs,torch,photos,onnx,tensorboard]"
	$(BIN)/python -m pytest -n 2 -q -m "slow or not slow"

# Compares with torchvision and timm too, where they are installed: `.venv/bin/pip install -e ".[parity]"`.
parity: $(READY)
	$(BIN)/python -m pytest -q -m "slow or not slow" tests/architectures/test_goldens.py
	$(BIN)/python tests/support/parity.py

# Runs the tests of keras.applications and of KerasHub on our builders; fetches the file of the first.
neutral: $(READY)
	$(BIN)/python tests/support/neutral.py --write
	$(BIN)/python -m pip install -q keras-hub grain
	$(BIN)/python tests/support/neutral_hub.py --write

# The lower bounds of pyproject.toml, in a `.venv-lowest` of their own.
LOWEST_TESTS = tests/recipe tests/report tests/explain tests/runs tests/cli tests/weights tests/exporters tests/graph tests/layers/test_classic.py \
	tests/layers/test_batch_norm.py tests/layers/test_stochastic_branch.py tests/architectures/test_classics.py \
	tests/training/test_private_api.py tests/training/test_loop.py tests/test_keras_workflows.py
lowest: $(READY)
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv venv -q --clear --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip install -q --python .venv-lowest/bin/python --resolution lowest-direct \
		-e . "pytest>=9.2" "pytest-xdist>=3.8"
	.venv-lowest/bin/python -m pytest -n 2 -q $(LOWEST_TESTS)

# All variants under JAX and PyTorch beside TensorFlow, and a training step of each family; a stopped run goes on.
backends: $(READY)
	$(BIN)/python -m pip install -q -e ".[jax,torch]"
	$(BIN)/python tests/support/backends.py

distribution-check: $(READY)
	@$(BIN)/python tests/support/distribution_check.py

kill-check: $(READY)
	@$(BIN)/python tests/support/kill_check.py

# Prints the files that a reader opens to follow a training step, a load of weights and an export.
files: $(READY)
	@$(BIN)/python tests/support/files_followed.py 2>/dev/null

# Breaks the package in some forty small ways, one at a time, and says which of them no test notices; takes half an hour.
mutations: $(READY)
	@$(BIN)/python tests/support/mutations.py

tables: $(READY)
	$(BIN)/python docs/make_tables.py

# It runs the gallery; two of its pages classify photos with public weights.
docs: $(READY)
	$(BIN)/python -m pip install -q -e ".[docs,photos,torch]"
	$(BIN)/python -m sphinx -b html -W --keep-going docs docs/_build/html

# Asks every external link, so it needs a network.
linkcheck: $(READY)
	$(BIN)/python -m pip install -q -e ".[docs]"
	$(BIN)/python -m sphinx -b linkcheck -D plot_gallery=0 docs docs/_build/linkcheck

style: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/lint-imports --no-cache

clean:
	rm -rf runs build dist .pytest_cache .ruff_cache
	find kerasnets tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null \
		|| { echo "kerasnets needs Python 3.11 or newer; '$(PYTHON)' is older or missing. Try: make PYTHON=python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -e ".[test]"
	@touch $@
