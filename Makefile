# Two commands to type: make demo, make test. Both set up .venv first; nothing else is needed but Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo-results

.PHONY: demo test test-slow test-downloads lint types contracts unit clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("jaxprune needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; say make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[figures]'
	touch $@

# "parity" is PyTorch, which only ever judges. Its CPU build is enough, and much smaller: put one where pip finds it.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev,parity]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/jaxprune compare sample:gemma3-270m $(DEMO) --texts sample --method wanda --pattern 0.5 \
	  --calibration en --calibration de --calibration sw --calibration de,en --samples 16 --length 512 \
	  --languages ar,de,en,es,ru,sw,zh,ja --windows 2 --dtype bfloat16 --overwrite

test: lint types contracts unit

# What has a quicker sibling among the others: before a release, and after changes to what it is about.
test-slow: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow

# Data of tasks, 400 MB, which no other test needs.
test-downloads: $(VENV)/.installed-dev
	$(BIN)/pytest -m downloads

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev
	$(BIN)/pyright --pythonpath $(BIN)/python

contracts: $(VENV)/.installed-dev
	$(BIN)/lint-imports

unit: $(VENV)/.installed-dev
	$(BIN)/pytest --numprocesses 2 --dist loadfile --durations 40 --durations-min 5

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info
