# Installs by itself what each target needs, once; `make` alone lists the targets.
.DEFAULT_GOAL := help
.NOTPARALLEL:

PYTHON ?= python3
VENV ?= .venv
UV ?= uv
PY := $(VENV)/bin/python

# Bare `make eval` is a first look, one episode per task; a run that names what it evaluates plays the whole suite.
ifeq ($(strip $(SUITE)$(POLICY)$(CKPT)$(PROTOCOL)$(TASKS)),)
EPISODES ?= 1
endif
SUITE ?= libero_object
POLICY ?= expert

.PHONY: help setup eval report test test-all lint lock

help: ## list the targets
	@echo "make eval [SUITE=$(SUITE) POLICY=$(POLICY) CKPT= PROTOCOL= TASKS= EPISODES= DIMENSIONS= DIFFICULTY= SAMPLE= SAMPLE_SEED= PROMPT= WORKERS= SIMULATORS= RUN= VIDEO=none|failures|all IMAGINE= RETRY=1]"; echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/$(if $(MODELS),.models,.dev) ## install everything into .venv (MODELS=1: torch for the models, too)

eval: $(VENV)/.eval ## play episodes: SUITE, POLICY, CKPT, PROTOCOL, TASKS, EPISODES, DIMENSIONS, SAMPLE, WORKERS, SIMULATORS, RUN, VIDEO, IMAGINE, RETRY
	@$(VENV)/bin/wam-eval run --suite "$(SUITE)" --policy "$(POLICY)" \
	  $(if $(CKPT),--ckpt "$(CKPT)") $(if $(PROTOCOL),--protocol "$(PROTOCOL)") $(if $(TASKS),--tasks "$(TASKS)") \
	  $(if $(DIMENSIONS),--dimensions "$(DIMENSIONS)") $(if $(DIFFICULTY),--difficulty "$(DIFFICULTY)") \
	  $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SAMPLE_SEED),--sample-seed $(SAMPLE_SEED)) $(if $(PROMPT),--prompt "$(PROMPT)") \
	  $(if $(EPISODES),--episodes $(EPISODES)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(SIMULATORS),--simulators $(SIMULATORS)) \
	  $(if $(RUN),--run "$(RUN)") $(if $(VIDEO),--video "$(VIDEO)") $(if $(IMAGINE),--imagine $(IMAGINE)) \
	  $(if $(RETRY),--retry-errors)

report: $(VENV)/.eval ## write the HTML report of runs: RUN="name [name ...]"
	@$(if $(RUN),,$(error say which run: make report RUN=name))$(VENV)/bin/wam-eval report $(RUN)

test: $(VENV)/.dev ## the tests, without the slow ones
	@$(PY) -m pytest -m "not slow"

test-all: $(VENV)/.dev ## all tests
	@$(PY) -m pytest

lint: $(VENV)/.dev ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

# One stamp for each extent of the installation. The locks are full closures: dev.txt holds all of eval.txt.
LOCKED := pyproject.toml $(wildcard locks/*.txt)

$(VENV)/.eval: $(LOCKED)
	@$(PYTHON) wam_eval/bootstrap.py --venv $(VENV)
	@touch $@

$(VENV)/.dev: $(LOCKED)
	@$(PYTHON) wam_eval/bootstrap.py --venv $(VENV) --dev
	@touch $(VENV)/.eval $@

$(VENV)/.models: $(LOCKED)
	@$(PYTHON) wam_eval/bootstrap.py --venv $(VENV) --dev --models
	@touch $(VENV)/.eval $(VENV)/.dev $@

# Hashes guard every file but torch's: a local build of the same version has another hash.
COMPILE = $(UV) pip compile -q --python-version 3.11 --python-platform linux --no-annotate \
  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: ## bring locks/ in line with pyproject.toml, keeping pins that still fit (needs uv)
	$(COMPILE) pyproject.toml --extra libero --extra robotwin --extra dev --group build --generate-hashes -o locks/dev.txt
	$(COMPILE) pyproject.toml --extra libero --extra robotwin --generate-hashes -c locks/dev.txt -o locks/eval.txt
	$(COMPILE) --group build --generate-hashes -c locks/dev.txt -o locks/build.txt
	$(COMPILE) pyproject.toml --extra libero --extra robotwin --extra models -c locks/dev.txt -o locks/models.txt
