#!/usr/bin/env bash
# What one packet of single packet authorization costs: garbage, genuine and written ones.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
cargo run --quiet --release --locked -p nightlatch-parse --example spa
