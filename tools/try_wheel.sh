#!/usr/bin/env bash
# try_wheel.sh PYTHON WHEEL: install a wheel into a fresh environment, and run the demo with it outside the checkout
set -euo pipefail
python=$(realpath -s "$1"); wheel=$(realpath "$2"); here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$here"/{output.jsonl,training_config.yaml} "$work"; cd "$work"
unset PYTHONPATH VIRTUAL_ENV
"$python" -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check "$wheel"
export PATH="$work/env/bin:$PATH"
segmask --version
segmask preprocess training_config.yaml --debug
segmask show training_config.yaml
segmask lock training_config.yaml && segmask lock training_config.yaml --check
python -c 'import segmask; assert "site-packages" in segmask.__file__; print("installed as", segmask.__file__)'
