# One environment for everything: `make demo` and `make test` create it from constraints.txt on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-all test-latest hashed hashes licenses sbom audit bench bench-env real-clips notebook clean

demo: $(READY)  ## train on generated stick figures, write the report
	$(BIN)/onlooker demo

test: $(READY)  ## what .ci/run runs: lint, types, import layers, tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

test-all: $(READY)  ## all tests, including slow ones
	$(BIN)/pytest -n 2 --dist loadfile

# An environment as users get it: the newest Python here, and the newest packages that pyproject.toml admits.
LATEST := .venv-latest

test-latest:  ## the first steps of a newcomer with the newest version of every dependency; needs the package index
	@if ! $(PYTHON) -m pip download --quiet --disable-pip-version-check --retries 0 --no-deps --dest $(LATEST)-probe filelock 2> /dev/null; \
		then echo "test-latest: not run, because no package index can be reached"; exit 0; fi; \
	rm -rf $(LATEST)-probe; set -e; \
	for name in python3.14 python3.13 python3.12 $(HOME)/.pyenv/versions/3.1[234].*/bin/python $(PYTHON); \
		do if "$$name" -c '' 2> /dev/null; then break; fi; done; \
	echo "test-latest: $$("$$name" --version)"; \
	"$$name" -m venv --clear $(LATEST); \
	$(LATEST)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[export,serve]" pytest hypothesis httpx2; \
	$(LATEST)/bin/python -m pip list --disable-pip-version-check | grep -iE '^(av|lightning|numpy|opencv|timm|torch|torchvision) '; \
	$(LATEST)/bin/python -m pytest tests/test_first_steps.py

$(READY): pyproject.toml papers/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "onlooker needs Python 3.11 or newer, $(PYTHON) is %d.%d; use: make PYTHON=python3.12 ..." % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --progress-bar on --disable-pip-version-check -c constraints.txt -e ".[dev]" -e papers
	@touch $(READY)

hashed:  ## the environment from files with known hashes (Linux on x86-64)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --only-binary=:all: --require-hashes -r requirements-hashes.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e . -e papers
	@touch $(READY)

hashes: $(READY)  ## requirements-hashes.txt from constraints.txt; needs the package index
	$(BIN)/python tools/dependencies.py hashes

licenses: $(READY)  ## docs/licenses.md from the installed packages
	$(BIN)/python tools/dependencies.py licenses

sbom: $(READY)  ## docs/sbom.cdx.json from the installed packages
	$(BIN)/python tools/dependencies.py sbom

# A separate environment, because pip-audit has other dependencies. A package that cannot be checked is a failure.
audit:  ## known vulnerabilities of the packages in requirements-hashes.txt; needs the package index
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1 \
		|| { echo "audit: pip-audit cannot be installed: the package index is not reachable; run it on a machine where it is" >&2; exit 1; }
	@.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements-hashes.txt \
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

notebook: $(READY)  ## run the notebook and store its outputs
	OMP_NUM_THREADS=1 $(BIN)/python tests/notebooks.py examples/where-and-when.ipynb

clean:  ## remove environments and caches; runs/ and results/ are kept
	rm -rf $(VENV) .venv-bench .venv-audit .venv-latest .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# The comparisons behind results/real-clips.json (papers/onlooker_papers/real_clips/recipes.py); hours, resumable.
real-clips: $(READY)  ## train and compare on the real clips in $$ONLOOKER_DATA; some of them: SETS="weizmann basketball"
	$(BIN)/python -m onlooker_papers.real_clips $(SETS)
