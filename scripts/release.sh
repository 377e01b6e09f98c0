#!/usr/bin/env bash
# Builds the gateway as it should be published: optimised by a profile of its own work under load. Builds it twice, so
# that it takes about twice as long as `make serve`. Arguments go to `cargo build`, for instance --no-default-features.
set -euo pipefail
source "$(dirname "$0")/steps.sh"

version=$(rustc -vV)
host=$(sed -n 's/^host: //p' <<<"$version")
llvm=$(sed -n 's/^LLVM version: \([0-9]*\).*/\1/p' <<<"$version")
built=$target/profiled
profiles=$built/profiles

# The tool that reads profiles must be as new as the compiler that made them.
merger() {
    local tool
    for tool in "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata" "llvm-profdata-$llvm" llvm-profdata; do
        if [[ $("$tool" --version 2>/dev/null || true) == *"LLVM version $llvm."* ]]; then
            echo "$tool"
            return
        fi
    done
    echo "llvm-profdata $llvm was not found; install it with: rustup component add llvm-tools" >&2
    return 1
}

# `--target` keeps the flags away from what runs at build time.
build() {
    RUSTFLAGS=$1 cargo build --release --locked --package freehold --target "$host" --target-dir "$built" "${@:2}"
}

# Requests of the usual sizes in both dialects, whole and streamed, in haste and at leisure.
train() {
    local dialect bytes
    for dialect in openai anthropic; do
        for bytes in 120 1500 6000; do
            "$target"/release/freehold-bench compare --rounds 1 --seconds 3 --connections 16 --rate 300 --streams 16 \
                --gateway "$built/$host/release/freehold serve --config {config}" --template bench/freehold.yaml \
                --key sk-bench-0123456789abcdef --model mock/mock --dialect "$dialect" --prompt-bytes "$bytes"
        done
    done
}

merger=$(merger)
bash scripts/setup.sh serve
step "Build the bench" cargo build --release --locked --package freehold-bench
rm -rf "$profiles"
step "Build the gateway to be profiled" build "-Cprofile-generate=$profiles" "$@"
step "Load it" train
step "Merge the profiles" "$merger" merge --output "$profiles/merged.profdata" "$profiles"
step "Build the gateway by its profile" build "-Cprofile-use=$profiles/merged.profdata" "$@"
echo "$built/$host/release/freehold"
