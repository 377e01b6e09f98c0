#!/usr/bin/env bash
# Adds up what scripts/test.sh ran, from its logs, and closes with one line. Fails when nothing ran.
set -euo pipefail
source "$(dirname "$0")/steps.sh"

printf '\n'
shopt -s nullglob
logs=("$target"/test-logs/*.log)
# Colour codes and carriage returns would hide the numbers.
sed -e 's/\x1b\[[0-9;]*m//g' -e 's/\r//g' "${logs[@]:-/dev/null}" | awk '
    function number_before(word, line) {
        return match(line, "[0-9]+ " word) ? substr(line, RSTART, RLENGTH) + 0 : 0
    }
    # nextest; cargo test; pytest.
    /^ *Summary \[/ || /^test result:/ || /^(=+ )?[0-9]+ (passed|failed).* in [0-9.]+s/ {
        passed += number_before("passed", $0)
        failed += number_before("failed", $0)
        skipped += number_before("(skipped|ignored)", $0)
    }
    END {
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit passed == 0 || failed > 0
    }'
