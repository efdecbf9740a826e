# make        builds the sample registry with 'dvc repro' and shows it
# make test   lint, types and the tests of the package
# make test-system  the tests of the whole: pipeline, clusters, servers, browsers, releases, signals and commands of the docs
# make test-torch   the tests of the loaders for torch, in an environment of its own (5 GB)
# make test-spark   every view in Spark SQL beside DuckDB, in an environment of its own (1 GB)
# make wheel  dist/*.whl, to install elsewhere
# make release VERSION=1.2.0   tests, commits and tags a version of the package
# make docs   the generated files of the docs, and the site in site/
.DEFAULT_GOAL := demo
.PHONY: demo install test test-system test-torch test-spark lint wheel docs bench clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
# What DuckDB clients of the past are tested with; not part of the environment.
DUCKDB1 := $(VENV)/duckdb-1
# Two processes of tests a core: many tests wait for servers, time limits and disks.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) \* 2)

# $(call make_venv,FOLDER) makes an environment, $(call pip_of,FOLDER) installs into it.
ifeq ($(UV),)
  make_venv = $(PYTHON) -m venv $(1)
  pip_of = $(1)/bin/python -m pip --quiet --disable-pip-version-check
  BUILD_WHEEL = $(PIP) wheel --no-deps --wheel-dir dist .
  # Installed beside the environment: a conflict with its packages does not matter.
  APART = --no-warn-conflicts
else
  make_venv = $(UV) venv --quiet --allow-existing --python $(PYTHON) $(1)
  pip_of = VIRTUAL_ENV="$(CURDIR)/$(1)" $(UV) pip --quiet
  BUILD_WHEEL = $(UV) build --quiet --wheel --out-dir dist
endif
PIP = $(call pip_of,$(VENV))

$(VENV)/.installed: pyproject.toml constraints.txt
	$(call make_venv,$(VENV))
	$(PIP) install -c constraints.txt -e '.[zip,report,browse]'
	touch $@

# Not after the other one: two installations in turn take half as long again.
$(VENV)/.installed-dev: pyproject.toml constraints.txt
	$(call make_venv,$(VENV))
	$(PIP) install -c constraints.txt -e '.[zip,s3,gs,ssh,webdav,dask,report,browse,dev]'
	touch $(VENV)/.installed $@

$(DUCKDB1): | $(VENV)/.installed-dev
	$(PIP) install $(APART) --target $(DUCKDB1).partial duckdb==1.1.3
	mv $(DUCKDB1).partial $(DUCKDB1)

install: $(VENV)/.installed

demo: install
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro
	@echo
	@echo "What is in the registry (df2 stats):"
	@$(BIN)/df2 stats --format table
	@echo "The consumer and shop items of one pair_id (df2 pairs --split train --pair-id 2):"
	@$(BIN)/df2 pairs --split train --pair-id 2 --format table
	@echo "A subset, ready to train on (dvc repro export@easy-skirts): data/exports/easy-skirts"
	@echo "Go on with: $(BIN)/df2 --help, or open data/sample/train/image"
	@echo "The report on the registry, to open in a browser: $(CURDIR)/data/report.html"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

PYTEST = DF2_DUCKDB1="$(CURDIR)/$(DUCKDB1)" PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup
# The tests start hundreds of processes, which would compile the package again where the caller keeps bytecode off.
test test-system: export PYTHONDONTWRITEBYTECODE =
test: lint $(DUCKDB1)
	$(PYTEST) -m 'not system'

test-system: $(VENV)/.installed-dev $(DUCKDB1)
	$(PYTEST) -m system

# The wheels of torch for Linux bring CUDA, and no other test needs them.
TORCH_VENV := .venv-torch
$(TORCH_VENV)/.installed: pyproject.toml constraints.txt
	$(call make_venv,$(TORCH_VENV))
	$(call pip_of,$(TORCH_VENV)) install -c constraints.txt -e '.[zip,torch]' pytest pytest-timeout pytest-xdist hypothesis
	touch $@

test-torch: $(TORCH_VENV)/.installed
	$(TORCH_VENV)/bin/python -m pytest -q -n $(WORKERS) --dist loadgroup tests/loaders/own

# Spark's client needs an older pandas than the other tests.
SPARK_VENV := .venv-spark
SPARK := pysail==0.7.2 pyspark-client==4.0.1 pandas==2.3.3
$(SPARK_VENV)/.installed: pyproject.toml constraints.txt Makefile
	$(call make_venv,$(SPARK_VENV))
	grep -v '^pandas==' constraints.txt > $(SPARK_VENV)/constraints.txt
	$(call pip_of,$(SPARK_VENV)) install -c $(SPARK_VENV)/constraints.txt -e '.[zip,s3]' $(SPARK) 'moto[server]' pytest pytest-timeout pytest-xdist hypothesis
	touch $@

test-spark: $(SPARK_VENV)/.installed
	$(SPARK_VENV)/bin/python -m pytest -q -n 1 --dist loadgroup tests/engines

wheel: $(VENV)/.installed
	$(BUILD_WHEEL)
	@ls dist/*.whl

# The generated files, then the site in site/, to open from disk.
docs: $(VENV)/.installed-dev
	$(BIN)/python -m registry.cli.reference
	$(BIN)/python -m tests.licences
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "The documentation, to open in a browser: $(CURDIR)/site/index.html"

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.ingest
	$(BIN)/python -m benchmarks.export
	$(BIN)/python -m benchmarks.diff
	$(BIN)/python -m benchmarks.tables
	$(BIN)/python -m benchmarks.corrections
	$(BIN)/python -m benchmarks.checks
	$(BIN)/python -m benchmarks.photos
	$(BIN)/python -m benchmarks.remote
	$(BIN)/python -m benchmarks.browse

# Beside torchvision and WebDataset; takes ten minutes and 5 GB.
.PHONY: bench-torch
bench-torch: $(TORCH_VENV)/.installed
	$(call pip_of,$(TORCH_VENV)) install -c constraints.txt webdataset
	$(TORCH_VENV)/bin/python -m benchmarks.loaders

# Random manifests, conditions, annotations and archives; takes tens of minutes.
.PHONY: fuzz
fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.fuzz manifests
	$(BIN)/python -m benchmarks.fuzz where
	$(BIN)/python -m benchmarks.fuzz_ingest decoder
	$(BIN)/python -m benchmarks.fuzz_ingest archives

# Checks that a fresh clone can pull the data of a tag; docs/how-to/releasing.md.
.PHONY: release-check
release-check: install
	$(BIN)/python -m registry.cli.release_check $(or $(TAG),$(error Name the tag: make release-check TAG=v1.0)) $(ARGS)

# Tests, commits and tags a version of the package; docs/how-to/releasing.md.
.PHONY: release
release: $(VENV)/.installed-dev
	$(BIN)/python -m tools.release $(or $(VERSION),$(error Name the version: make release VERSION=1.2.0)) $(ARGS)

clean:
	rm -rf $(VENV) $(TORCH_VENV) $(SPARK_VENV) build dist site .mypy_cache .pytest_cache .ruff_cache
