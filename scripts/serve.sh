#!/usr/bin/env bash
# Sets up, builds, pulls the default model and serves on 127.0.0.1:4000. Arguments go to `freehold serve`.
set -euo pipefail
source "$(dirname "$0")/steps.sh"

bash scripts/setup.sh serve
step "Build freehold (the first build compiles llama.cpp: about ten minutes on two cores)" \
    cargo build --release --package freehold
step "Default model" "$target"/release/freehold models pull smollm2-135m-instruct
printf '\n'
exec "$target"/release/freehold serve "$@"
