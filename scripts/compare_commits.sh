#!/usr/bin/env bash
# Builds two commits of the gateway, each into a target directory of its own, and compares them pair by pair:
#   scripts/compare_commits.sh OLD NEW [OPTIONS OF freehold-bench compare]
# NEW may be `.`, the working tree. Without the embedded engine. bench/README.md says how to read the table.
set -euo pipefail
source "$(dirname "$0")/steps.sh"

if (($# < 2)); then
    echo "usage: scripts/compare_commits.sh OLD NEW [OPTIONS OF freehold-bench compare]" >&2
    exit 2
fi
old=$1 new=$2
shift 2
work=$(mktemp -d)
# What was checked out goes with the script.
trap 'rm -rf "$work"; git worktree prune' EXIT

# build NAME COMMIT: prints the program. That of a commit is kept, so that comparing it again is quick.
build() {
    local name=$1 commit=$2 tree=$root folder=$target
    if [[ $commit != . ]]; then
        commit=$(git rev-parse --short "$commit^{commit}")
        tree=$work/$name folder=$target/commits/$commit
        if [[ ! -x $folder/release/freehold ]]; then
            git worktree add --quiet --detach "$tree" "$commit"
        fi
    fi
    if [[ -d $tree ]]; then
        (cd "$tree" && CARGO_TARGET_DIR=$folder cargo build --release --locked --package freehold --no-default-features) >&2
    fi
    printf '%s\n' "$folder/release/freehold"
}

first=$(build old "$old")
second=$(build new "$new")
step "Build the bench" cargo build --release --locked --package freehold-bench
step "$old against $new" "$target"/release/freehold-bench compare \
    --gateway "old=$first serve --config {config}" --gateway "new=$second serve --config {config}" \
    --template "$root/bench/freehold.yaml" --key sk-bench-0123456789abcdef --model mock/mock \
    --json "$target/compare_commits.json" "$@"
