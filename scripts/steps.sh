# Sourced by the other scripts: the repository root, the search path, and `step`, which says what runs and how long
# it took.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# Pinned tools first, then rustup's toolchain, which a non-login shell does not have on its path.
export PATH="$root/.venv/bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

# Where cargo puts what it builds.
target=${CARGO_TARGET_DIR:-$root/target}

# Where `step` keeps its timings, so that a caller of several scripts can print them all at the end.
timings=${FREEHOLD_TIMINGS:-}

# step TITLE COMMAND...: runs the command in a subshell that stops at its first failure; the status is the step's.
step() {
    local title=$1 began=$SECONDS status line
    shift
    printf '\n==> %s\n' "$title"
    # `COMMAND || status=$?` would be shorter, but then a function that fails half-way runs on.
    set +e
    (
        set -e
        "$@"
    )
    status=$?
    set -e
    line=$(printf '%5d s  %s' $((SECONDS - began)) "$title")
    if ((status != 0)); then
        line+=" (failed with status $status)"
    fi
    printf '<== %s\n' "$line"
    if [[ -n $timings ]]; then
        printf '%s\n' "$line" >>"$timings"
    fi
    return "$status"
}
