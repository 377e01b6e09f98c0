#!/usr/bin/env bash
# Runs every test. What needs no C++ is built in the dev profile, without the engine; the engine, and the gateway
# that carries it, are built in the release profile only, so llama.cpp is compiled once.
set -euo pipefail
source "$(dirname "$0")/steps.sh"

# The same choice of packages and features everywhere, so that dependencies are compiled once.
without_engine=(--workspace --exclude freehold-llama --no-default-features --locked)
profile=default
if [[ -n ${CI:-} ]]; then
    profile=ci
fi
logs=$target/test-logs
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

# Keeps what a step prints, for the tally at the end.
logged() {
    local name=$1
    shift
    "$@" 2>&1 | tee "$logs/$name.log"
}

# What a request may cost. Only Linux has valgrind, and only for some processors.
instructions() {
    if ! command -v vgdb >/dev/null; then
        echo "no valgrind here: not counted"
        return
    fi
    "$target"/debug/freehold-bench instructions --limits bench/instructions.toml \
        --gateway "$target/release/freehold serve --config {config}" --template bench/freehold.yaml \
        --key sk-bench-0123456789abcdef --model mock/mock
}

conformance() {
    FREEHOLD_BIN=$target/release/freehold \
        FREEHOLD_FAKE_UPSTREAM=$target/debug/freehold-fake-upstream \
        bash conformance/run
}

bash scripts/setup.sh test
rm -rf "$logs"
mkdir -p "$logs"
step "Tests without the engine" logged rooms cargo nextest run --profile "$profile" "${without_engine[@]}"
step "Build the gateway for release, as make serve does" cargo build --release --locked --package freehold
step "Instructions per request and stream event" instructions
step "Default model" "$target"/release/freehold models pull smollm2-135m-instruct
FREEHOLD_TEST_MODEL=$("$target"/release/freehold models path smollm2-135m-instruct)
export FREEHOLD_TEST_MODEL
# The gateway is named beside the engine so that features, and with them llama.cpp, are those of the build above.
step "Tests of the engine" \
    logged engine cargo nextest run --profile "$profile" --release --locked \
    --package freehold-llama --package freehold --lib --test llama
step "Conformance: real clients" logged conformance conformance
bash scripts/tally.sh
