# Needs Python 3.11 to 3.13 and make; on Windows from cmd or Git Bash. Another Python: make PYTHON=python3.12
ifeq ($(OS),Windows_NT)
PYTHON ?= py
BIN := .venv/Scripts
else
PYTHON ?= python3
BIN := .venv/bin
endif
PY := "$(BIN)/python"
PIP := $(PY) -m pip install -qq --disable-pip-version-check
TOUCH := $(PY) -c "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"
OUT ?= out/voorbeeldstad
ARGS ?=
# Threads of OpenBLAS that have nothing to do sleep after 2^4 cycles, not 2^26: others on the same cores need not wait.
export OPENBLAS_THREAD_TIMEOUT ?= 4

.PHONY: help demo test test-browser lint clean
.NOTPARALLEL:

help:  ## what there is to make
	@$(PYTHON) -c "import re; [print(f'make {n:5} {d}') for n, d in re.findall(r'(?m)^([a-z-]+):.*?## (.*)', open('Makefile', encoding='utf-8').read())]"

demo: .venv/.run  ## install, estimate the example, of 2024 and over three years, say where to look (OUT=folder)
	"$(BIN)/buurtsae" demo --out $(OUT)
	"$(BIN)/buurtsae" demo --years --out $(OUT)_jaren

test: .venv/.test  ## the test suite on two workers (ARGS="-k graph" for a part)
	$(PY) -m pytest -n 2 --dist loadgroup --no-loadscope-reorder --ignore tests/browser $(ARGS)

test-browser: .venv/.browser  ## the dashboard in Chromium, which it installs on Debian; screenshots in out/screenshots
	$(PY) -m pytest -n 0 tests/browser $(ARGS)

lint: .venv/.dev  ## style and types
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

clean:  ## remove what was made, .venv included
	$(PYTHON) -c "import shutil; [shutil.rmtree(d, ignore_errors=True) for d in '.venv out dist .pytest_cache .mypy_cache .ruff_cache .hypothesis'.split()]"

# One stamp per set of extras: pip runs again only when pyproject.toml changes.
.venv/pyvenv.cfg:
	$(PYTHON) -c "import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else 'Python 3.11 to 3.13 is needed: make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv

.venv/.run: pyproject.toml .venv/pyvenv.cfg
	$(PIP) -e .
	$(TOUCH) $@

.venv/.test: pyproject.toml .venv/pyvenv.cfg
	$(PIP) -e ".[test]"
	$(TOUCH) $@

.venv/.dev: pyproject.toml .venv/pyvenv.cfg
	$(PIP) -e ".[dev]"
	$(TOUCH) $@

.venv/.browser: pyproject.toml .venv/pyvenv.cfg
	command -v chromium || command -v google-chrome || { apt-get update -qq && apt-get install -qq -y chromium fonts-dejavu-core; }
	$(PIP) -e ".[browser]"
	$(TOUCH) $@
