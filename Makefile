# Needs python3 (>= 3.11), git and make. Everything is installed into .venv, once; edit pyproject.toml or constraints.txt and it is brought up to date.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test check bench docs clean

demo: .venv/.demo  ## video files in, trained model and report out, on two CPU cores
	HF_HUB_OFFLINE=1 $(BIN)/videoperceiver demo $(ARGS)

test: .venv/.dev  ## every test that needs neither GPU, network nor vLLM, with coverage
	HF_HUB_OFFLINE=1 $(BIN)/pytest -q -n 2 --dist loadfile -m "not gpu and not network and not vllm" --cov --cov-report=term $(ARGS)

check: .venv/.dev  ## style, types, import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: .venv/.dev  ## every benchmark in its quick form
	@set -e; for file in $$(ls benchmarks/*.py | grep -v _common); do echo "== $$file"; HF_HUB_OFFLINE=1 $(BIN)/python $$file --quick; done

docs: .venv/.docs  ## the manual, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:  ## forget the environment and caches
	rm -rf .venv site .coverage .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "VideoPerceiver needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; run: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv

.venv/.demo: EXTRAS = demo,text
.venv/.dev: EXTRAS = demo,text,dev
.venv/.docs: EXTRAS = docs
.venv/.demo .venv/.dev .venv/.docs: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -e '.[$(EXTRAS)]' -c constraints.txt
	@touch $@
