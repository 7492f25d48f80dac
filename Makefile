# One verb per task. `make demo` and `make test` are all a newcomer needs: each builds its own environment.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.built
LOCK   := uv pip compile --universal --generate-hashes --all-extras \
          --no-emit-index-url --no-emit-find-links --no-emit-package overt --quiet

.DEFAULT_GOAL := help
.PHONY: help env demo up test test-fast lint format proto check-proto lock bench soak chaos system clean

help: ## list the verbs
	@awk 'BEGIN{FS=":.*## "} /^[a-z-]+:.*## /{printf "  make %-12s %s\n",$$1,$$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml scripts/bootstrap.sh
	@PYTHON=$(PYTHON) sh scripts/bootstrap.sh $(VENV)

env: $(STAMP) ## build .venv from requirements.lock

demo: $(STAMP) ## the main job, end to end, on this machine
	@$(BIN)/overt demo

up: $(STAMP) ## the whole system on this machine, until Ctrl-C
	@$(BIN)/overt up

system: $(STAMP) ## the Debian packages that some tests need (a browser, an RTSP server)
	@sh scripts/system-packages.sh

test: $(STAMP) system ## every test
	@$(BIN)/python -m pytest -m "not bench"

test-fast: $(STAMP) ## the tests without processes, for while you work
	@$(BIN)/python -m pytest -m "unit or contract"

lint: $(STAMP) ## ruff, mypy --strict, import rules, proto drift
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(MAKE) --no-print-directory check-proto

format: $(STAMP) ## let ruff rewrite
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

proto: $(STAMP) ## generate libs/overt/api from proto/
	@$(BIN)/python scripts/gen_protos.py

check-proto: $(STAMP) ## fail if libs/overt/api is not what proto/ says
	@$(BIN)/python scripts/gen_protos.py --check

lock: ## resolve pyproject.toml into requirements.lock (needs uv)
	@$(LOCK) pyproject.toml -o requirements.lock

bench: $(STAMP) ## figures: search latency and recall of the list index, masking of a street
	@$(BIN)/python -m pytest -q -s -m bench tests/bench

soak: $(STAMP) ## memory of every service over ten minutes (MINUTES=10)
	@$(BIN)/python -m overt_lab.soak --minutes $(or $(MINUTES),10)

chaos: $(STAMP) ## kill -9 at random while people walk (KILLS=20 SEED=1)
	@$(BIN)/python -m overt_lab.chaos --kills $(or $(KILLS),20) --seed $(or $(SEED),1)

clean: ## remove the environment and the caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
