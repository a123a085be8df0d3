# `make demo`, `make test` and `make train-demo` each do all of their own set-up.
# Needs GNU make, bash and Python 3.10 or newer; choose one with `make PYTHON=python3.12 demo`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# A stamp is touched only after its install went through, so that an interrupted one is taken up again.
APP_STAMP := $(VENV)/.stamp-app
DEV_STAMP := $(VENV)/.stamp-dev

TEST_WORKERS ?= 2  # processes that share the tests, each with one thread

# Slow tests of what visitors and programs do with the page.
JOURNEYS := $(addprefix tests/page/test_,journeys.py visit.py languages.py tools.py app.py video.py around.py camera.py)

# Nothing below needs the network once installed; `make HF_HUB_OFFLINE=0 demo` lets the app look at the Hub.
HF_HUB_OFFLINE ?= 1
GRADIO_ANALYTICS_ENABLED ?= False
export HF_HUB_OFFLINE GRADIO_ANALYTICS_ENABLED

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test test-journeys test-slow train-demo bench lint format browser clean

help:  ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(APP_STAMP)  ## set up, then open the app on the pack that ships with the repository
	$(BIN)/python app.py

test: $(DEV_STAMP) browser  ## set up, then run the fast tests (6 to 12 minutes on two cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow" -n $(TEST_WORKERS) --dist loadfile

test-journeys: $(DEV_STAMP) browser  ## set up, then run what visitors and programs do with the page (3 to 7 minutes on two cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow $(JOURNEYS) -n $(TEST_WORKERS) --dist loadfile

test-slow: $(DEV_STAMP) browser  ## set up, then run all slow tests, which take minutes each (some forty on two busy cores)
	$(BIN)/python -m pytest -q -m slow

train-demo: $(DEV_STAMP)  ## set up, then watch a two-minute training, offline
	$(BIN)/python scripts/train_demo.py

bench: $(DEV_STAMP)  ## set up, then measure speed and memory beside other networks, and draw the plots (some ten minutes)
	$(BIN)/python benchmarks/speed.py styles/starry-night --output benchmarks

lint: $(DEV_STAMP)  ## check style, limits and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV_STAMP)  ## put imports and format in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

browser: $(DEV_STAMP)
	@scripts/install_chromium.sh $(BIN)/python

clean:  ## remove caches and builds; the environment and runs/ stay
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(APP_STAMP): requirements.txt
	$(make-venv)
	$(PIP) install -r requirements.txt
	@touch $@

$(DEV_STAMP): requirements.txt requirements-dev.txt
	$(make-venv)
	$(PIP) install -r requirements-dev.txt
	@touch $@ $(APP_STAMP)

# pip arrives last in a new environment: where it is missing, the environment is missing or was left half made.
define make-venv
@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "error: $(PYTHON) is missing or older than 3.10; name a newer one: make PYTHON=python3.12" >&2; exit 2; }; \
	echo "$(PYTHON) -m venv $(VENV)"; \
	$(PYTHON) -m venv $(VENV); \
fi
endef
