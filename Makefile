# One environment for everything: `make demo` and `make test` create it from constraints.txt on first use.
# `make TORCH=cpu …` creates it with PyTorch's CPU build: on Linux 1.5 GB instead of 6.4 GB.
PYTHON ?= python3
VENV ?= .venv
TORCH ?=
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Tools that no test needs are in an environment of their own.
TOOLS := .venv-tools
TOOLS_READY := $(TOOLS)/.ready
UV := $(TOOLS)/bin/uv pip install

.PHONY: demo docs test test-all test-latest dist test-wheel sizes hashed hashes licenses sbom audit bench bench-env real-clips stale pictures notebook clean

demo: $(READY)  ## train on generated stick figures, write the report
	$(BIN)/onlooker demo

test: $(READY)  ## what .ci/run runs: lint, types, import layers, tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadfile --durations 20 -m "not slow"

test-all: $(READY)  ## all tests, including slow ones
	$(BIN)/pytest -n 2 --dist loadfile --nbmake tests papers/tests examples/where-and-when.ipynb

# An environment as users get it: the newest Python here, and the newest packages that pyproject.toml admits.
LATEST := .venv-latest
LATEST_SPACE := 8  # GB

test-latest:  ## the first steps of a newcomer with the newest version of every dependency; needs the package index and 8 GB
	@if ! $(PYTHON) -m pip download --quiet --disable-pip-version-check --retries 0 --no-deps --dest $(LATEST)-probe filelock 2> /dev/null; \
		then echo "test-latest: not run, because no package index can be reached"; exit 0; fi; \
	rm -rf $(LATEST)-probe; set -e; \
	free=$$(df -Pk . | awk 'NR == 2 {print int($$4 / 1048576)}'); \
	if [ $$free -lt $(LATEST_SPACE) ]; \
		then echo "test-latest: not run, because $$free GB of the disk are free, and the packages need $(LATEST_SPACE)"; exit 0; fi; \
	for name in python3.14 python3.13 python3.12 $(HOME)/.pyenv/versions/3.14.*/bin/python $(HOME)/.pyenv/versions/3.13.*/bin/python $(PYTHON); \
		do if "$$name" -c '' 2> /dev/null; then break; fi; done; \
	echo "test-latest: $$("$$name" --version)"; \
	"$$name" -m venv --clear $(LATEST); \
	$(LATEST)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[export,serve]" pytest hypothesis httpx2; \
	$(LATEST)/bin/python -m pip list --disable-pip-version-check | grep -iE '^(av|numpy|opencv|timm|torch|torchvision) '; \
	$(LATEST)/bin/python -m pytest tests/test_first_steps.py

$(READY): pyproject.toml papers/pyproject.toml constraints.txt $(if $(TORCH),$(TOOLS_READY))
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "onlooker needs Python 3.11 or newer, $(PYTHON) is %d.%d; use: make PYTHON=python3.12 ..." % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH),$(UV) --torch-backend=$(TORCH) --python $(BIN)/python, \
		$(BIN)/python -m pip install --progress-bar on --disable-pip-version-check) --quiet -c constraints.txt -e ".[dev]" -e papers
	@touch $(READY)

# A wheel in an empty environment, with the oldest or the newest versions that it admits: VERSIONS=lowest-direct or highest.
VERSIONS ?= highest
WHEEL := .venv-wheel

dist: $(TOOLS_READY)  ## the sdist, and the wheel made from it; needs the package index
	rm -rf dist && $(TOOLS)/bin/uv build --quiet

test-wheel: dist  ## `onlooker demo` and the first steps of a newcomer from the built wheel; needs the package index
	$(PYTHON) -m venv --clear $(WHEEL)
	$(UV) --quiet $(if $(TORCH),--torch-backend=$(TORCH)) --python $(WHEEL)/bin/python --resolution $(VERSIONS) -r pyproject.toml --extra export --extra serve
	$(UV) --quiet --python $(WHEEL)/bin/python --no-deps dist/*.whl
	$(UV) --quiet --python $(WHEEL)/bin/python pytest hypothesis httpx httpx2
	cd $(WHEEL) && bin/onlooker demo && cp -r ../tests ../conftest.py ../pyproject.toml . && bin/python -m pytest tests/test_first_steps.py

sizes: $(READY)  ## the size of onlooker's environment, with and without PyTorch and its packages for GPUs
	@$(BIN)/python benchmarks/sizes.py

hashed:  ## the environment from files with known hashes
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --only-binary=:all: --require-hashes -r requirements-hashes.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e . -e papers
	@touch $(READY)

$(TOOLS_READY): Makefile
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0 pip-audit==2.10.1 pip-licenses==5.5.5 uv==0.13.9 mkdocs-material==9.8.2 "mkdocstrings[python]==1.0.8" ruff==0.17.5 \
		|| { echo "the tools cannot be installed: the package index is not reachable; run this on a machine where it is" >&2; exit 1; }
	@touch $(TOOLS_READY)

hashes: $(TOOLS_READY)  ## requirements-hashes.txt from constraints.txt; needs the package index
	$(TOOLS)/bin/uv pip compile --quiet --upgrade --universal --no-deps --generate-hashes --no-header --no-annotate --python-version 3.11 constraints.txt -o requirements-hashes.txt

docs: $(TOOLS_READY)  ## build/site: the documentation as a site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(TOOLS)/bin/mkdocs build --strict --quiet

licenses: $(READY) $(TOOLS_READY)  ## build/licenses.md: the licenses that the installed packages state
	@mkdir -p build
	$(TOOLS)/bin/pip-licenses --python=$(BIN)/python --format=markdown --output-file=build/licenses.md

sbom: $(READY) $(TOOLS_READY)  ## build/sbom.cdx.json: the bill of materials of the installed packages
	@mkdir -p build
	$(TOOLS)/bin/cyclonedx-py environment --output-reproducible --output-file build/sbom.cdx.json $(BIN)/python

# A package that cannot be checked is a failure.
audit: $(TOOLS_READY)  ## known vulnerabilities of the packages in requirements-hashes.txt; needs the package index
	@$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes -r requirements-hashes.txt \
		|| { echo "audit: vulnerable packages are listed above; \"not found\" says that this machine's index has no advisories: run it where it has" >&2; exit 1; }

# The environment of the benchmarks also has the libraries that onlooker is compared with.
BENCH := .venv-bench
BENCH_READY := $(BENCH)/.ready

bench-env: $(BENCH_READY)  ## the environment of the benchmarks

$(BENCH_READY): pyproject.toml constraints.txt benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --progress-bar on --disable-pip-version-check -c constraints.txt -r benchmarks/requirements.txt -e ".[export,serve]" -e papers
	@touch $(BENCH_READY)

bench: $(BENCH_READY)  ## run all benchmarks, which takes hours; write the table of results
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(BENCH)/bin/python $$file || exit 1; done
	$(BENCH)/bin/python benchmarks/table.py

stale: $(READY)  ## results files that are older than their sources, and the commands that measure them again
	@$(BIN)/python -m onlooker_papers.sources

pictures: $(READY)  ## all pictures of README and docs that can be made here; some of them: NAMES="demo.png live.png"
	$(BIN)/python benchmarks/pictures.py $(NAMES)

notebook: $(READY)  ## run the notebook, check what it says, and store its outputs
	OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore $(BIN)/pytest --nbmake --overwrite examples/where-and-when.ipynb

clean:  ## remove environments and caches; runs/ and results/ are kept
	rm -rf $(VENV) .venv-bench .venv-tools .venv-latest .venv-wheel .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# The comparisons behind results/real-clips.json (papers/onlooker_papers/real_clips/recipes.py); hours, resumable.
real-clips: $(READY)  ## train and compare on the real clips in $$ONLOOKER_DATA; some of them: SETS="basketball surveillance"
	$(BIN)/python -m onlooker_papers.real_clips $(SETS)
