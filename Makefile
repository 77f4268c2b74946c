# make demo: the documentation's example, prepared and shown.  make test: everything.  make lab: the notebooks.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
META   := settings.ini setup.py pyproject.toml constraints.txt
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: demo lab test browser-test test-slow bench bench-train outputs docs release clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.base
	@$(BIN)/segmask preprocess training_config.yaml --debug
	@$(BIN)/segmask show training_config.yaml
	@echo 'Next: `make lab` opens the notebooks in JupyterLab; begin with nbs/index.ipynb.'

lab: $(VENV)/.lab
	$(BIN)/jupyter lab nbs/index.ipynb

test: $(VENV)/.dev
	@BIN=$(BIN) bash tools/check.sh

# every promise of the widgets, in JupyterLab and Notebook 7 in headless Chromium (apt-get install chromium); `make test` tries three of them
browser-test: $(VENV)/.dev
	HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false $(BIN)/pytest -q -s -rs tests/browser -m 'browser or not browser'

test-slow: $(VENV)/.dev
	$(BIN)/pytest -q -m slow

# what a training step costs, against the plain Trainer and TRL (an hour; COMMITLINT: a clone of commitlint, for rows of a real history);
# writes bench/RESULTS-train.md. In pieces: see the head of bench/train.py
bench-train: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python bench/train.py --out bench/RESULTS-train.md

# speed and memory of preparing, against the raw tokenizer, datasets.map and (when it is here) axolotl; writes bench/RESULTS.md
bench: $(VENV)/.dev
	$(BIN)/python bench/bench.py

# run the notebooks, store their outputs, and write README.md from them
outputs: $(VENV)/.dev
	$(BIN)/nbdev-export
	HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false $(BIN)/nbdev-test --save --n-workers 2
	$(BIN)/nbdev-clean
	$(BIN)/python tools/docs.py

docs: $(VENV)/.dev
	$(BIN)/python tools/docs.py
	$(BIN)/zensical build --strict -f _zensical.toml
	cp _md/*.md _md/llms.txt _docs/
	$(BIN)/python tools/check_links.py _docs

# what goes to the package index, in dist/: built, checked, installed into a fresh environment as a user would, and tried
release: $(VENV)/bin/python
	@$(PIP) build twine
	rm -rf dist build
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	bash tools/try_wheel.sh $(BIN)/python dist/*.whl
	@ls -l dist

clean:
	rm -rf $(VENV) _proc _md _docs build dist *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# each environment is made anew only when what it is made from has changed
$(VENV)/.base: $(META) | $(VENV)/bin/python
	@echo 'Installing segmask into $(VENV) ...'
	@$(PIP) -e .
	@touch $@
$(VENV)/.lab: $(META) | $(VENV)/bin/python
	@echo 'Installing segmask and JupyterLab into $(VENV) ...'
	@$(PIP) -e '.[lab]'
	@touch $@ $(VENV)/.base
$(VENV)/.dev: $(META) | $(VENV)/bin/python
	@echo 'Installing segmask and all that tests need into $(VENV) ...'
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.lab $(VENV)/.base
