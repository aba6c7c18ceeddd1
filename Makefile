# Everything from a bare machine to a running demo. `make` alone lists what there is.
# A target depends on what it needs; stamps make a second call do nothing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# Inside .venv, so that it vanishes with it.
SETUP := $(VENV)/.setup-stamp

-include sandbox-image/image.mk

##@ The two to start with

.PHONY: demo
demo: setup engine image ## Watch real code run in a real container, and its files come back
	@$(BIN)/sandglass demo

.PHONY: test
test: setup engine image ## Run every test, against real containers (PYTEST_ARGS="-k harvest", JOBS=1)
	@$(BIN)/pytest -n $(or $(JOBS),3) --dist worksteal $(PYTEST_ARGS)

##@ Set-up

.PHONY: setup
setup: $(SETUP) ## Make .venv with the locked requirements and the sandglass command

$(SETUP): pyproject.toml requirements-dev.txt .ci/setup.sh .ci/uv.txt
	@.ci/setup.sh
	@touch $@

.PHONY: engine
engine: setup ## Make sure that a Docker engine answers; install and start one where that is possible
	@.ci/engine.sh

.PHONY: engine-gvisor
engine-gvisor: engine ## Install gVisor and register it with the engine as the runtime runsc
	@.ci/gvisor.sh

.PHONY: lock
lock: setup ## Choose the newest requirements again and write their hashes
	@.ci/lock.sh

.PHONY: clean
clean: ## Remove what was made here (.venv, .tools, caches); images and stored files stay
	@rm -rf $(VENV) .tools .stamps dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Work on it

.PHONY: check
check: setup ## Lint, format, types, and which package may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: format
format: setup ## Format, and mend what can be mended
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: test-gvisor
test-gvisor: setup engine-gvisor image ## Run the abuse suite under gVisor (10 minutes)
	@ABUSE_RUNTIMES=runsc $(BIN)/pytest tests/abuse $(PYTEST_ARGS)

.PHONY: bench
bench: setup engine image ## Measure speed on this machine (BENCH_ARGS="--peers --only print")
	@$(BIN)/sandglass bench $(BENCH_ARGS)

.PHONY: bench-check
bench-check: setup engine image ## Measure a little, and fail where a ratio is clearly worse than committed
	@$(BIN)/sandglass bench --check $(BENCH_ARGS)

.PHONY: bench-figures
bench-figures: setup engine image ## Measure everything on a quiet machine; figures, table and picture to commit
	@$(BIN)/sandglass bench --peers --json --plot orchestrator/bench/benchmark.png --markdown README.md \
	    $(BENCH_ARGS) > .venv/bench.json && mv .venv/bench.json orchestrator/bench/committed.json

.PHONY: bench-bot
bench-bot: setup engine image ## Measure what of a computed answer in Discord is our own time (BENCH_ARGS="--check")
	@$(BIN)/python -m tests.bot.bench $(BENCH_ARGS)

.PHONY: soak
soak: setup engine image ## Fifty people in fifty channels at once, against the local Discord (SECONDS=600)
	@$(BIN)/python -m tests.bot.soak --seconds $(or $(SECONDS),600)

##@ Run it

.PHONY: chat
chat: setup engine image ## Talk to the bot in this terminal, without Discord
	@$(BIN)/python -m bot.chat

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
