#!/usr/bin/env bash
# The checks that a checkout must pass; no Quarto and no network needed. `make test` runs it in its own environment.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/${BIN:-.venv/bin}:$PATH" TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 OMP_NUM_THREADS=1
before=$(mktemp -d); trap 'rm -rf "$before"' EXIT
cp -r nbs segmask README.md "$before"
same() { diff -rq -x __pycache__ -x .ipynb_checkpoints -x .last_checked "$before/$1" "$1" || { echo "$2"; exit 1; }; }
step() { echo "== $1"; }

step 'notebooks are clean';          nbdev-clean;  same nbs 'Notebooks were not clean; now they are: commit them.'
step 'package equals notebooks';     nbdev-export; same segmask 'Package and notebooks differed; now they do not: commit segmask/.'
step 'README is up to date';         python tools/docs.py; same README.md 'README.md was out of date; now it is not: commit it.'; same nbs 'Badges were not those of settings.ini; now they are: commit nbs/.'
step 'style';                       ruff check
step 'types';                        mypy
step 'notebooks run';                nbdev-test --n-workers 2 --cell-timeout 300
step 'their examples run against the package, and the tests (three of the widgets in a browser, where there is one)'
pytest -q -rs --durations=5 -n 2 --dist loadfile
