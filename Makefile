# Each target installs what it needs, once; `make` alone lists the targets.
.DEFAULT_GOAL := help
.NOTPARALLEL:

PYTHON ?= python3
VENV ?= .venv
UV ?= uv
PY := $(VENV)/bin/python

# Bare `make eval` is a first look, one episode per task; a run that names what it evaluates plays whole suites.
ifeq ($(strip $(SUITE)$(POLICY)$(CKPT)$(PROTOCOL)$(TASKS)),)
EPISODES ?= 1
endif
SUITE ?= libero_object
POLICY ?= expert

# `NAME=value` becomes `--name "value"` of `wam-eval run`; FILTER and SET hold several pairs, separated by spaces.
ONCE := suite policy ckpt label protocol tasks episodes sample sample-seed workers simulators run video imagine attention \
  max-identical-errors
variable = $(shell echo $(1) | tr a-z- A-Z_)
option = $(if $(strip $($(call variable,$(1)))),--$(1) "$($(call variable,$(1)))")
OPTIONS = $(foreach o,$(ONCE),$(call option,$(o))) $(foreach p,$(FILTER),--filter "$(p)") \
  $(foreach p,$(SET),--set "$(p)") $(if $(RETRY),--retry-errors)

.PHONY: help setup eval train reproduce report test test-all lint docs lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo; echo "  Variables of make eval: SUITE POLICY CKPT LABEL PROTOCOL TASKS EPISODES FILTER SET SAMPLE SAMPLE_SEED WORKERS"
	@echo "  SIMULATORS RUN VIDEO IMAGINE ATTENTION MAX_IDENTICAL_ERRORS RETRY=1; each is an option of $(VENV)/bin/wam-eval run, whose --help explains them."

setup: $(VENV)/$(if $(MODELS),.models,.dev) ## install everything into .venv (MODELS=1: torch for the models, too)

# Small models run with PyTorch on a CPU.
eval: $(VENV)/$(if $(filter small-%,$(POLICY)),.models,.eval) ## play episodes: a first look, or SUITE= POLICY= CKPT= ... for your own
	@$(VENV)/bin/wam-eval run $(strip $(OPTIONS))

train: $(VENV)/.models ## train the small models again, or one of them: TRAINING=small-fastwam
	@for training in $(or $(TRAINING),$$($(PY) -c "from wam_eval import config; print(*config.names('training'))")); do \
	  $(VENV)/bin/wam-eval train $$training || exit 1; done

reproduce: $(VENV)/.models ## repeat the papers' comparisons with small models: QUICK=1, ONLY="name,name"
	@$(VENV)/bin/wam-eval reproduce $(if $(QUICK),--quick) $(if $(ONLY),--only "$(ONLY)")

report: $(VENV)/.eval ## write the HTML report of runs: RUN="name [name ...]"
	@$(if $(RUN),,$(error name a run: make report RUN=name))$(VENV)/bin/wam-eval report $(RUN)

# worksteal keeps the tests of a module together at first, so that expensive fixtures are made once per process.
# One process more than cores, because some tests wait for simulators or for Ray.
PYTEST := $(PY) -m pytest -n $(shell expr $$(nproc) + 1) --dist worksteal --durations 10

test: $(VENV)/.dev ## run the tests without the slow ones
	@$(PYTEST) -m "not slow"

test-all: $(VENV)/.dev ## run all tests
	@$(PYTEST) --hypothesis-profile=thorough

lint: $(VENV)/.dev ## check style, types, layers of imports and unused code
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports
	@$(PY) -m vulture

docs: $(VENV)/.dev ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

# One stamp for each extent of the installation. The locks are full closures: dev.txt holds all of eval.txt.
LOCKED := pyproject.toml tools/install.py $(wildcard locks/*.txt)

$(VENV)/.eval: $(LOCKED)
	@$(PYTHON) tools/install.py --venv $(VENV)
	@touch $@

$(VENV)/.dev: $(LOCKED)
	@$(PYTHON) tools/install.py --venv $(VENV) --dev
	@touch $(VENV)/.eval $@

$(VENV)/.models: $(LOCKED)
	@$(PYTHON) tools/install.py --venv $(VENV) --dev --models
	@touch $(VENV)/.eval $(VENV)/.dev $@

# Hashes guard every file but torch's: a local build of the same version has another hash.
COMPILE = $(UV) pip compile -q --python-version 3.11 --python-platform linux --no-annotate \
  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: ## bring locks/ in line with pyproject.toml, keeping pins that still fit (needs uv)
	$(COMPILE) pyproject.toml --extra libero --extra robotwin --extra dev --group build --generate-hashes -o locks/dev.txt
	$(COMPILE) pyproject.toml --extra libero --extra robotwin --generate-hashes -c locks/dev.txt -o locks/eval.txt
	$(COMPILE) --group build --generate-hashes -c locks/dev.txt -o locks/build.txt
	$(COMPILE) pyproject.toml --extra libero --extra robotwin --extra models -c locks/dev.txt -o locks/models.txt
