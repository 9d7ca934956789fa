# The project's commands. `make demo` and `make test` need nothing but Python 3.11+ and do all
# their own set-up: virtual environment, engine, images.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Finds or starts an engine, exports DOCKER_HOST if it is not the default one, and gets the images.
WITH_ENGINE = set -ae; eval "$$(scripts/ensure-engine)"; scripts/ensure-images;

# Where compiled modules are not kept, each of the many processes that tests start compiles all of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-engines test-lowest soak lint bench docs screenshots clean help
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

demo: $(VENV)/ready  ## run the example suite on a real stack and show where the time went
	@$(WITH_ENGINE) exec $(BIN)/python -m pytest examples/shop

# Four workers, however few cores: most tests wait for an engine. A failed test runs again, at most twice; the
# summary counts the reruns. The second pytest runs even if the first one fails.
test: $(VENV)/ready  ## run the tests of the project, and samples of the longest
	@$(WITH_ENGINE) scripts/ensure-compose >/dev/null || true; scripts/ensure-chromium >/dev/null || true; \
	scripts/ensure-guides >/dev/null || true; scripts/ensure-isolation || true; \
	export DOCKWRIGHT_REQUIRE_ENGINE=1; failed=; \
	$(BIN)/python -m pytest -n 4 --reruns 2 tests/integration || failed=1; \
	$(BIN)/python -m pytest -n 4 --reruns 2 tests || failed=1; \
	test -z "$$failed"

test-engines: $(VENV)/ready  ## run the tests on newer engines (root on Debian), and write docs/reference/engines.md
	@$(WITH_ENGINE) exec $(BIN)/python scripts/test-engines --write

test-lowest: $(VENV)/ready  ## run the example suite with the oldest versions of the dependencies
	@$(WITH_ENGINE) exec scripts/test-lowest

soak: $(VENV)/ready  ## run the long tests completely: crashes, parallel runs, leaks
	@$(WITH_ENGINE) scripts/ensure-compose >/dev/null || true; scripts/ensure-chromium >/dev/null || true; \
	scripts/ensure-guides >/dev/null || true; scripts/ensure-isolation || true; \
	export DOCKWRIGHT_SOAK=1 DOCKWRIGHT_REQUIRE_ENGINE=1; failed=; \
	$(BIN)/python -m pytest tests/soak tests/reset/test_*_battery.py tests/stack/test_surroundings_battery.py \
	tests/profile/test_waste.py tests/pool/test_deaths.py tests/history/test_regressions.py \
	tests/history/test_compare.py tests/schedule || failed=1; \
	$(BIN)/python -m pytest -m soak tests || failed=1; \
	test -z "$$failed"

lint: $(VENV)/ready  ## check style, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate-reference --check

bench: $(VENV)/ready  ## run the benchmarks, compared with other tools and bare API calls
	@$(WITH_ENGINE) scripts/ensure-compose >/dev/null || true; \
	exec $(BIN)/python -m bench

docs: $(VENV)/ready  ## regenerate the reference pages
	$(BIN)/python scripts/generate-reference

screenshots: $(VENV)/ready  ## retake the documentation's screenshots of the report
	@$(WITH_ENGINE) exec $(BIN)/python scripts/make-screenshots

clean:  ## remove the virtual environment and caches; nothing on the engine is touched
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist

$(VENV)/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dockwright needs Python 3.11 or newer: set PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[postgres,redis,mysql,markers,otlp]' --group dev
	touch $@
