# make reproduce and make test need nothing done before them: both set up .venv first.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: reproduce test lint ui

reproduce: $(VENV)/installed
	tenfold reproduce

test: $(VENV)/installed
	pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	tenfold compile --check
	tenfold rejudge published/*.json

ui: $(VENV)/installed
	tenfold ui

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	pip install --quiet --constraint constraints.txt --editable '.[all,cpu,cluster,dev]'
	touch $@
