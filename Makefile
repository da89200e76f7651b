# Needs python3 (>= 3.11), git and make. Everything is installed into .venv, once; edit pyproject.toml or constraints.txt and it is brought up to date.
PYTHON ?= python3
BIN := .venv/bin
VLLM_ENV ?= .venv-vllm
LMMS_ENV ?= .venv-lmms
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test check bench docs clean vllm-env test-vllm lmms

demo: .venv/.demo  ## video files in, trained model and report out, on two CPU cores
	HF_HUB_OFFLINE=1 $(BIN)/videoperceiver demo $(ARGS)

test: .venv/.dev  ## every test that needs neither GPU, network nor vLLM, with coverage
	HF_HUB_OFFLINE=1 $(BIN)/pytest -q -n 2 --dist loadfile -m "not gpu and not network and not vllm" --cov --cov-report=term $(ARGS)

vllm-env: $(VLLM_ENV)/.ready  ## vLLM on the CPU, in an environment of its own (4 GB)

test-vllm: .venv/.dev vllm-env  ## rollout servers and `vllm serve` for real, with tiny models
	HF_HUB_OFFLINE=1 VIDEOPERCEIVER_VLLM_PYTHON=$(abspath $(VLLM_ENV))/bin/python $(BIN)/pytest -q -m vllm $(ARGS)

lmms: $(LMMS_ENV)/.ready  ## one tiny model here and under lmms-eval: answers and scores must be the same (an environment of 7 GB)
	$(LMMS_ENV)/bin/python -m tests.lmms_env.cross_check $$(mktemp -d)

check: .venv/.dev  ## style, types, import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: .venv/.dev  ## every benchmark in its quick form
	@set -e; for file in $$(ls benchmarks/*.py | grep -v -e _common -e _vs_trl); do echo "== $$file"; HF_HUB_OFFLINE=1 $(BIN)/python $$file --quick; done

docs: .venv/.docs  ## the manual, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:  ## forget the environment and caches
	rm -rf .venv site .coverage .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "VideoPerceiver needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; run: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv

.venv/.demo: EXTRAS = demo,text
.venv/.dev: EXTRAS = demo,text,web,eval,sources,ray,docs,dev
.venv/.docs: EXTRAS = docs
.venv/.demo .venv/.dev .venv/.docs: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -e '.[$(EXTRAS)]' -c constraints.txt
	@touch $@

$(VLLM_ENV)/.ready: $(wildcard tests/vllm_env/*)
	$(PYTHON) -m venv $(VLLM_ENV)
	$(VLLM_ENV)/bin/python -m pip install -q -r tests/vllm_env/requirements.txt
	$(VLLM_ENV)/bin/python -m pip install -q --no-deps -r tests/vllm_env/trainer.txt
	$(VLLM_ENV)/bin/python -m pip uninstall -q -y torchaudio torchcodec
	cp tests/vllm_env/sitecustomize.py $$($(VLLM_ENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
	@touch $@

$(LMMS_ENV)/.ready: $(wildcard tests/lmms_env/*.txt)
	$(PYTHON) -m venv $(LMMS_ENV)
	$(LMMS_ENV)/bin/python -m pip install -q -r tests/lmms_env/requirements.txt
	$(LMMS_ENV)/bin/python -m pip install -q --no-deps -r tests/lmms_env/newer.txt
	@touch $@
