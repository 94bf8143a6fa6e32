# The commands of the README. Each sets up what it needs; a second call skips what is done.
PYTHON ?= python3.11
STUDY ?= default
BIN := .venv/bin
INSTALLED := .venv/.installed
MANIFEST := dbt_project/target/manifest.json
DBT_FILES := $(shell find dbt_project -type f \( -name '*.sql' -o -name '*.yml' -o -name '*.csv' \) -not -path '*/target/*')

export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export DO_NOT_TRACK := 1

.PHONY: setup demo dev evidently lint test test-unit test-browser bench pictures clean

setup: $(INSTALLED) $(MANIFEST)
	@$(BIN)/smc init --study $(STUDY) --json > /dev/null

$(INSTALLED): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(MANIFEST): $(INSTALLED) $(DBT_FILES)
	$(BIN)/dbt --quiet parse --project-dir dbt_project --profiles-dir dbt_project
	touch $@

demo: setup
	$(BIN)/smc study run --study $(STUDY)
	$(BIN)/smc findings --study $(STUDY)

dev: setup
	$(BIN)/smc dev --study $(STUDY)

evidently: setup
	$(BIN)/smc evidently --study $(STUDY)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: setup
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest tests -n 3 --dist loadfile --no-loadscope-reorder --durations 25

test-unit: setup
	$(BIN)/python -m pytest tests -m unit

test-browser: setup
	$(BIN)/python -m pytest tests -m browser

bench: setup
	$(BIN)/python -m bench

pictures: setup
	$(BIN)/python -m bench.pictures

clean:
	rm -rf .venv dbt_project/target dbt_project/logs
