#!/usr/bin/env bash
# Installs what the build needs and this machine lacks: Debian packages, then the pinned tools.
# Usage: scripts/setup.sh [serve|test]
#   serve: what `make serve` needs.    test (default): that, and what tests and lints need.
set -euo pipefail
source "$(dirname "$0")/steps.sh"
purpose=${1:-test}

# Prints the Debian packages that are missing, judged by what they provide, so that a compiler or a Python from
# elsewhere is left alone.
missing_packages() {
    local command
    while read -r command package; do
        command -v "$command" >/dev/null || printf '%s\n' "$package"
    done <<'TABLE'
g++ build-essential
make build-essential
cmake cmake
clang clang
pkg-config pkg-config
ccache ccache
curl curl
git git
python3 python3
TABLE
    # bindgen loads libclang when llama.cpp's bindings are made.
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null ||
        compgen -G '/usr/lib/*/libclang*.so*' >/dev/null || printf 'libclang-dev\n'
    [[ -e /etc/ssl/certs/ca-certificates.crt ]] || printf 'ca-certificates\n'
    if [[ $purpose == test ]]; then
        python3 -c 'import ensurepip, venv' 2>/dev/null || printf 'python3-venv\n'
        # The proof that a sealed gateway calls nobody runs in a network namespace; only Linux has them.
        if [[ $(uname -s) == Linux ]]; then
            command -v unshare >/dev/null || printf 'util-linux\n'
            # Programs that score run in a sandbox.
            command -v bwrap >/dev/null || printf 'bubblewrap\n'
            PATH=$PATH:/usr/sbin:/sbin command -v ip >/dev/null || printf 'iproute2\n'
            # Counts the instructions of a request.
            command -v vgdb >/dev/null || printf 'valgrind\n'
        fi
        # Clocks that jump.
        [[ $(uname -s) != Linux ]] || compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || printf 'faketime\n'
        # The shared ledger and the shared accounts are tested with real servers.
        compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
            command -v initdb >/dev/null || printf 'postgresql\n'
        command -v valkey-server >/dev/null || command -v redis-server >/dev/null || printf 'redis-server\n'
    fi
}

install_packages() {
    local packages
    mapfile -t packages < <(missing_packages | sort -u)
    if ((${#packages[@]} == 0)); then
        echo "nothing is missing"
        return
    fi
    echo "missing: ${packages[*]}"
    if ! command -v apt-get >/dev/null; then
        if [[ $(uname -s) == Darwin ]]; then
            echo "install the above with brew (Xcode's command line tools have clang and make)" >&2
        else
            echo "this is no Debian: install the above with your package manager" >&2
        fi
        return 1
    fi
    local as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || {
            echo "run as root: apt-get install ${packages[*]}" >&2
            return 1
        }
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -q
    without_services install_debian "${packages[@]}"
}

install_debian() {
    local clusters=/etc/postgresql-common/createcluster.conf kept status=0
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends)
    if [[ " $* " != *" postgresql "* ]]; then
        "${apt[@]}" "$@"
        return
    fi
    # The package makes a cluster for the whole machine, unless its settings, which come first, say otherwise.
    "${apt[@]}" postgresql-common
    kept=$(mktemp)
    cp "$clusters" "$kept"
    echo 'create_main_cluster = false' | "${as_root[@]}" tee -a "$clusters" >/dev/null
    "${apt[@]}" "$@" || status=$?
    "${as_root[@]}" cp "$kept" "$clusters"
    rm -f "$kept"
    return "$status"
}

# Runs a command while packages may start no services: tests start servers of their own. A policy that was there
# before is put back.
without_services() {
    local policy=/usr/sbin/policy-rc.d kept status=0
    kept=$(mktemp -d)
    [[ ! -e $policy ]] || cp -p "$policy" "$kept/policy"
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
    "$@" || status=$?
    if [[ -e $kept/policy ]]; then
        "${as_root[@]}" cp -p "$kept/policy" "$policy"
    else
        "${as_root[@]}" rm -f "$policy"
    fi
    rm -rf "$kept"
    return "$status"
}

check_rust() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    if ! command -v cargo >/dev/null; then
        cat >&2 <<HELP
No Rust toolchain. Get one with rustup (https://rustup.rs), then run this again:
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y
HELP
        return 1
    fi
    found=$(rustc --version | cut -d' ' -f2)
    if [[ $(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n1) != "$wanted" ]]; then
        echo "Rust $found is older than $wanted: rustup update stable" >&2
        return 1
    fi
    echo "rustc $found"
}

# Prebuilt tools from the package index; where none fits this machine, cargo builds the same versions.
install_tools() {
    local wanted=(scripts/tools.txt)
    if ! node_is_recent; then
        wanted+=(scripts/node.txt)
    fi
    # What was installed is noted last, so that an interrupted run starts over.
    if cmp -s <(cat "${wanted[@]}") .venv/installed.txt; then
        echo "up to date"
        return
    fi
    python3 -m venv .venv
    if ! install_wheels scripts/tools.txt; then
        echo "no prebuilt tools for this machine: building them"
        build_tools
    fi
    if [[ ${wanted[*]} == *node.txt* ]]; then
        install_wheels scripts/node.txt
    fi
    cat "${wanted[@]}" >.venv/installed.txt
}

install_wheels() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes -r "$1"
}

# Whether the machine's own Node.js is one that the clients in conformance/ support.
node_is_recent() {
    local path
    # Not the one in .venv, which this script puts there itself.
    path=$(PATH=${PATH#"$root/.venv/bin:"} type -P node npm | head -n1) || return 1
    [[ $("$path" --version) =~ ^v([0-9]+) ]] && ((BASH_REMATCH[1] >= 22))
}

build_tools() {
    local line name version
    while read -r line; do
        name=${line%%==*} version=${line##*==}
        name=${name#astral-dev-toolchain-}
        [[ $name == typos ]] && name=typos-cli
        cargo install --locked --quiet --root .venv "$name@${version%% *}"
    done < <(grep '==' scripts/tools.txt)
}

step "Debian packages" install_packages
step "Rust toolchain" check_rust
if [[ $purpose == test ]]; then
    step "Pinned tools" install_tools
fi
