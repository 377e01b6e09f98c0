#!/usr/bin/env bash
# Measures what the gateway adds to a request; bench/README.md says how to read it. Arguments go to
# `freehold-bench compare`.
set -euo pipefail
source "$(dirname "$0")/steps.sh"

bash scripts/setup.sh serve
step "Build the gateway" cargo build --release --locked --package freehold
step "Build the bench" cargo build --release --locked --package freehold-bench
step "Gateway against a bare proxy" "$target"/release/freehold-bench compare \
    --gateway "freehold=$target/release/freehold serve --config {config}" --template bench/freehold.yaml \
    --key sk-bench-0123456789abcdef --model mock/mock --json "$target/bench.json" "$@"
