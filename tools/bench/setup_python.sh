#!/bin/sh
# Builds the interpreter that `npm run bench` compares with: setup_python.sh VENV
# On Linux PyPI's torch brings CUDA's libraries, some gigabytes; pip's own settings (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS)
# say where a CPU build lies. PYTHON names the interpreter to build from.
set -eu
"${PYTHON:-python3}" -m venv "$1"
"$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$(dirname "$0")/requirements.txt"
