# Every target sets the project up first: only Python (3.11 to 3.13) and make are needed. What runs needs the project alone;
# `setup`, `test` and `lint` add the tools of development.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
SET_UP := $(VENV)/.set-up
SET_UP_DEV := $(VENV)/.set-up-dev
SIZE ?= quick
STACK ?= mini
# Tune-A-Video stands in no table: make search-rates RATES=tune_a_video.
RATES ?= method params_none params_all temporal_frozen temporal_frozen_spatial lora token_trained \
	textual_inversion dreambooth custom_diffusion custom_diffusion_token
FORGETTING ?= method reg_none reg_synthetic
RUNS ?= outputs/mini
CORES := $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
# Arms of a sweep side by side, one thread each; one after the other on a GPU, which JOBS=N has them share.
JOBS ?= $(if $(strip $(foreach word,gpu paper launcher,$(findstring $(word),$(STACK) $(ARGS)))),1,$(CORES))
SIDE_BY_SIDE = $(if $(filter-out 1,$(JOBS)),hydra/launcher=joblib hydra.launcher.n_jobs=$(JOBS) trainer.threads=1)

.PHONY: setup train sweep-ablations sweep-baselines search-rates forgetting report test lint bench clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(SET_UP_DEV)  ## make .venv with the project and the tools of development
$(SET_UP): pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "vmc needs Python 3.11 to 3.13, and $(PYTHON) is another; run make PYTHON=python3.12"; exit 1; }
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --editable '.[joblib]'
	touch $@
$(SET_UP_DEV): $(SET_UP)
	$(RUN) -m pip install --editable '.[dev]'
	touch $@

train: $(SET_UP)  ## train the default motion on the miniature (ARGS="..." adds overrides)
	$(RUN) -m vmc.train $(ARGS)

sweep-ablations: $(SET_UP)  ## Table 2: every ablation on one motion (SIZE=laptop or full: four motions, three seeds; ARGS="...")
	$(RUN) -m vmc.train --config-name ablations size=$(SIZE) $(SIDE_BY_SIDE) $(ARGS)

sweep-baselines: $(SET_UP)  ## Table 1: the method and its baselines, as above
	$(RUN) -m vmc.train --config-name baselines size=$(SIZE) $(SIDE_BY_SIDE) $(ARGS)

forgetting: $(SET_UP)  ## known gestures after tuning, of the runs in RUNS (FORGETTING="method ..." names arms)
	$(RUN) -m vmc.evaluate run=$(RUNS)/method/swiping_down/seed0 step=0 ask=known $(ARGS)
	ls -d $(FORGETTING:%=$(RUNS)/%/*/seed*) | xargs -P $(JOBS) -I {} \
		$(RUN) -m vmc.evaluate run={} ask=known trainer.threads=1 $(ARGS)

search-rates: $(SET_UP)  ## each arm's learning rates on a motion of their own, into experiments/rates (STACK=paper, ARGS="...")
	failed=0; for arm in $(RATES); do \
		$(RUN) -m vmc.train --config-name rates_$$arm stack=$(STACK) $(SIDE_BY_SIDE) $(ARGS) || failed=1; done; \
	$(RUN) -m vmc.rates --runs outputs/rates/$(STACK) && exit $$failed

report: $(SET_UP)  ## tables and figures of the runs in outputs/mini, into outputs/report (RUNS=DIR, ARGS="...")
	$(RUN) -m vmc.report runs=$(RUNS) output=outputs/report $(ARGS)

test: $(SET_UP_DEV)  ## the tests, four files at a time: many wait (ARGS="tests/mini -k card" for some)
	$(RUN) -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(SET_UP_DEV)  ## style, types, which room imports which, and spelling
	$(RUN) -m ruff check src tests
	$(RUN) -m ruff format --check src tests
	$(RUN) -m mypy
	$(RUN) -m pytest -q tests/test_layout.py

bench: $(SET_UP)  ## speed and memory of this machine, in outputs/bench, against experiments/performance (ARGS="...")
	for name in "train --compare plain" "generate --compare plain" "evaluate --compare plain" startup; do \
		file=$${name%% *}.json; $(RUN) -m vmc.bench $$name --output outputs/bench/$$file \
			--recorded experiments/performance/$$file $(ARGS) || exit 1; done

clean:  ## remove what was built; runs in outputs/ stay
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
