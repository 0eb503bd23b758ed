# One door to everything: CI runs the same recipes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup models demo test check docs fix bench evidence audit clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=26.2'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,llamacpp,web,docs,dev]'
	touch $@

# Weights are fetched before the tests, because the tests themselves have no network.
models: setup
	$(BIN)/python -c 'from elad.students.models import gguf_path, model_folder as f; gguf_path("smollm2-135m"); f("smollm2-135m")'

demo: setup
	$(BIN)/elad demo

# A process a core, one thread each: threads that share a core wait for one another by spinning.
test: export OMP_NUM_THREADS = 1
test: models
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: setup docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --warnings --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/surface/test_snippets.py

# The site; a warning is a failure.
docs: setup
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs

fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The table of targets at a small size, one turn each; `benchmarks/table.py --full` takes the sizes that figures should be
# quoted at. docs/results/performance.jsonl has the commands of the figures in docs/results/performance.md.
bench: models
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,bench]'
	$(BIN)/python benchmarks/table.py

# A part of docs/results/evidence.md from scratch, within an hour on two cores; the whole of it names its commands.
evidence: models
	$(BIN)/python benchmarks/evidence.py small

# Known vulnerabilities of what is installed; a package that cannot be looked up is a failure.
audit: setup
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	build/audit/bin/pip-audit --strict --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
