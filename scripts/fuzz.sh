#!/usr/bin/env bash
# Fuzzes every target for a bounded time. Usage: scripts/fuzz.sh [SECONDS_PER_TARGET [TARGET...]]
# The stable toolchain is enough: without a sanitizer, which safe Rust has little use for, libFuzzer's coverage
# needs only `-C passes`. New inputs collect in fuzz/corpus, which git ignores; a failing input is left in
# fuzz/artifacts. Inputs worth keeping go to fuzz/seeds/TARGET.
set -euo pipefail
source "$(dirname "$0")/steps.sh"
seconds=${1:-60}
shift || true
mapfile -t targets < <(if (($# > 0)); then printf '%s\n' "$@"; else cargo fuzz list; fi)
if ((${#targets[@]} == 0)); then
    echo "no fuzz target found" >&2
    exit 1
fi

# A short run is over before optimising pays.
if [[ -n ${CI:-} ]]; then
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=false
fi

fuzz_one() {
    local target=$1
    mkdir -p "fuzz/corpus/$target"
    local inputs=("fuzz/corpus/$target")
    if [[ -d fuzz/seeds/$target ]]; then
        inputs+=("fuzz/seeds/$target")
    fi
    cargo fuzz run --sanitizer none "$target" "${inputs[@]}" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1
}

step "Build the fuzz targets" cargo fuzz build --sanitizer none
for target in "${targets[@]}"; do
    step "Fuzz $target for $seconds s" fuzz_one "$target"
done
