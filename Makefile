# make demo       matte the example on this machine
# make test       run everything that CI runs
# make check      run the linters and the type checker only
# make check-all  run `make test`, `make types`, the heavy tests and `make audit`
# make types      check types as for Windows and macOS
# make audit      look for known vulnerabilities in the installed packages
# make release    build and check sdist, wheel and hashes in dist/; upload nothing
# make docs       build the site into site/
# make weights RUN=runs/long    rebuild everything that depends on the weights, from a run's folder
# make clean      remove the environments and everything that was built
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
# Triton's client and stub need an environment of their own, because tritonclient requires an older protobuf than the
# other tools accept.
TRITON := .venv-triton

.PHONY: demo test check check-all types audit release docs weights clean

demo: $(VENV)/.runtime
	@mkdir -p demo
	@echo "matting examples/dandelion.jpg"
	$(BIN)/ltm-infer examples/dandelion.jpg examples/dandelion_trimap.png -o demo/alpha.png --cutout demo/cutout.png

test: check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist worksteal

check-all: test types $(VENV)/.harden $(TRITON)/.ready
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist worksteal -m heavy
	$(MAKE) audit

audit: $(VENV)/.harden
	@$(BIN)/python tests/hardening/audit.py; code=$$?; [ $$code -eq 3 ] && echo "audit: NOT CHECKED HERE" || exit $$code

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Each system has its own cache, because mypy starts from scratch when the platform changes.
types: $(VENV)/.dev
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 litematting_deploy
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin litematting_deploy

release:
	PYTHON=$(PYTHON) .ci/release

docs: $(VENV)/.dev
	$(BIN)/python docs/build.py

weights: $(VENV)/.dev
	@test -n "$(RUN)" || { echo "make weights RUN=FOLDER: which run's weights?"; exit 2; }
	$(BIN)/python recipes/ship.py $(RUN)

clean:
	rm -rf $(VENV) $(TRITON) demo site build dist *.egg-info

$(TRITON)/.ready: setup.cfg
	$(PYTHON) -m venv $(TRITON)
	$(TRITON)/bin/python -m pip install -q --disable-pip-version-check -e '.[cpu,triton]'
	@touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[cpu]'
	@touch $@

$(VENV)/.dev: setup.cfg constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@

$(VENV)/.harden: $(VENV)/.dev
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev,harden,ray]' -c constraints.txt
	@touch $@
