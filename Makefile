# make demo   segments a real photo; the first time it also sets up .venv
# make test   runs the tests;  make check  runs the linters, then the tests
#
# Needs nothing but make and a Python of at least 3.11 with pip and venv. Another Python: make demo PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# also for the packages that build ours: the first name is read by old releases of pip, both by new ones
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
# whatever the shell says: else each of many processes compiles PyTorch's Python anew
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test check lint format coverage clean

help:
	@echo "make demo      segment a real photo, offline, with the model that ships"
	@echo "make test      run the tests"
	@echo "make lint      ruff, mypy and import-linter"
	@echo "make check     lint, then test: what has to pass before a change goes in"
	@echo "make format    let ruff put the code in order"
	@echo "make coverage  run the tests and list the lines they do not reach"
	@echo "make clean     remove .venv and what make demo wrote"

demo: .venv/demo.stamp
	@$(BIN)/python examples/demo.py --output demo

docs/demo.png: demo
	@cp demo/grace_hopper_side_by_side.png $@

docs/crf.png: demo
	@$(BIN)/python examples/sharpen_edges.py demo/grace_hopper.jpg --long-side 321 --output $@

test: .venv/dev.stamp
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: lint test

lint: .venv/dev.stamp
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/dev.stamp
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

coverage: .venv/dev.stamp
	@$(BIN)/python -m pytest --cov --cov-report=term-missing

clean:
	rm -rf .venv demo

# ---- set-up: each stamp is as new as the installation that it stands for ----

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null || { \
		echo "deeplab needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not there)." \
			"Name another one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Creating .venv with $$($(PYTHON) --version)."
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/demo.stamp: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing deeplab and PyTorch into .venv; the first time this takes some minutes, and no model is downloaded."
	@$(INSTALL) --editable . matplotlib
	@touch $@

.venv/dev.stamp: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing deeplab with everything that training and the tests use into .venv; the first time this takes some minutes."
	@$(INSTALL) --editable '.[all,dev]'
	@touch $@
