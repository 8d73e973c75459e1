# Commands, each complete on a fresh machine with Python >= 3.10,<3.14:
#   make demo   install, run five unlearners over the same 300 requests, end with a table and a picture
#   make test   install, lint, type-check, test
#   make docs   install, write the documentation as a site into build/site

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := multirun/demo

.PHONY: demo test docs clean

demo: $(VENV)/.installed
	$(BIN)/expunge -m unlearner=newton,newton_corrected removal.count=300 \
	  hydra.sweep.dir=$(DEMO) 'hydra.sweep.subdir=$${unlearner.name}'
	$(BIN)/expunge -m unlearner=retrain,none model.std=0 removal.count=300 \
	  hydra.sweep.dir=$(DEMO) 'hydra.sweep.subdir=$${unlearner.name}'
	$(BIN)/expunge +experiment=icml2020/mnist_corrected removal.count=300 \
	  hydra.run.dir=$(DEMO)/mnist_corrected resume=auto
	$(BIN)/expunge-report $(DEMO)

# One thread a test process: two processes on two cores otherwise fight over them.
test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --durations=15

docs: $(VENV)/.installed-dev
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) $(DEMO) build/site

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.installed
