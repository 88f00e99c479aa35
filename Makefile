# Each target makes .venv on first use and installs what it needs.
#   make test PYTHON=python3.12 TORCH=torch==2.10.0
VENV := .venv
# What .venv was made with: it stays until another choice is given.
-include $(VENV)/python.mk $(VENV)/torch.mk
PYTHON ?= $(or $(MADE_PYTHON),python3)
TORCH ?= $(or $(MADE_TORCH),torch==2.13.0)
OTHER_PYTHON := $(filter-out $(MADE_PYTHON),$(PYTHON))
OTHER_TORCH := $(filter-out $(MADE_TORCH),$(TORCH))
DATA ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q
WORKERS ?= 2

# One thread per process is faster than many on the small maps of the tests.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench ops clean changed

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 10
	@echo "Options: PYTHON=$(PYTHON) TORCH=$(TORCH) DATA=folder-with-images (demo)"

$(BIN)/python: $(if $(OTHER_PYTHON),changed)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' \
		|| { echo "$(PYTHON) is not Python 3.10, 3.11 or 3.12: give PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	@echo 'MADE_PYTHON := $(PYTHON)' > $(VENV)/python.mk

# torch comes first, so that nothing else chooses its version; on CUDA machines this is the CUDA
# build. mmcv is built in pip's own environment, without torch: that is its pure-Python form.
$(VENV)/.installed: requirements/runtime.txt setup.py pyproject.toml \
		$(if $(OTHER_PYTHON)$(OTHER_TORCH),changed) | $(BIN)/python
	$(PIP) 'setuptools>=70.1' wheel
	$(PIP) '$(TORCH)'
	$(PIP) '$(TORCH)' -r requirements/runtime.txt
	$(PIP) --no-build-isolation --no-deps -e .
	@echo 'MADE_TORCH := $(TORCH)' > $(VENV)/torch.mk
	@touch $@

$(VENV)/.installed-tests: requirements/tests.txt $(VENV)/.installed
	$(PIP) -r requirements/tests.txt
	@touch $@

# All cores, which are shared: threads that spin while they wait make it six times slower beside one
# other busy process, and 5 % faster on an idle machine.
demo: $(VENV)/.installed ## train on generated images (or DATA=folder) and show the numbers
	env -u OMP_NUM_THREADS GOMP_SPINCOUNT=1000 $(BIN)/python tools/demo.py $(if $(DATA),--data "$(DATA)")

test: $(VENV)/.installed-tests ## run all tests
	$(BIN)/python -m pytest -n $(WORKERS)

lint: $(VENV)/.installed-tests ## check style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

docs: $(VENV)/.installed-tests ## build pages and reference in build/docs; warnings are errors
	$(BIN)/mkdocs build -q -f docs/site/mkdocs.yml

bench: $(VENV)/.installed-tests ## run each script in benchmarks/
	@set -e; for script in $$(grep -l '^if __name__' benchmarks/*.py); do \
		echo "== $$script"; env -u OMP_NUM_THREADS $(BIN)/python "$$script"; done

# pip keeps mmcv with and without operators under one name: never take it from the cache.
ops: $(VENV)/.installed ## compile mmcv's operators (20 minutes; only some peers need them)
	$(PIP) ninja psutil
	MMCV_WITH_OPS=1 \
		FORCE_CUDA=$$($(BIN)/python -c 'import torch; print(int(torch.cuda.is_available()))') \
		$(BIN)/python -m pip --disable-pip-version-check install --no-build-isolation \
		--no-cache-dir --force-reinstall --no-deps --no-binary onedl-mmcv onedl-mmcv
	$(BIN)/python -c 'import mmcv._ext; print("mmcv operators: compiled")'

clean: ## remove .venv, caches and build results; keeps work_dirs/ and data/
	rm -rf $(VENV) build dist projects/*.egg-info projects/attnseg/.mim
	rm -rf .pytest_cache .ruff_cache .import_linter_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
