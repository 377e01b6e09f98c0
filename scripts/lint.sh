#!/usr/bin/env bash
# Everything that is checked without running the product. Fast checks come first.
set -euo pipefail
source "$(dirname "$0")/steps.sh"

bash scripts/setup.sh test
step "Format" cargo fmt --all --check
step "Spelling" typos
step "Licences, banned crates, sources" cargo deny --all-features check --hide-inclusion-graph licenses bans sources
step "Layers" cargo xtask check-layers
step "Sizes" cargo xtask ratchet
step "Words" cargo xtask check-words
step "Metrics" cargo xtask check-metrics
# All in the release profile, so that dependencies are checked once, and llama.cpp is the one that is built anyway.
step "Clippy without the engine" cargo clippy --release --workspace --exclude freehold-llama --no-default-features \
    --all-targets --locked -- --deny warnings
step "Clippy with the engine" cargo clippy --release --package freehold-llama --package freehold \
    --all-targets --locked -- --deny warnings
step "Documentation" env RUSTDOCFLAGS="--deny warnings" cargo doc --release --quiet --no-deps --workspace \
    --exclude freehold-llama --no-default-features --locked
