#!/usr/bin/env bash
# From the lines of a log to the first refused packet: `bench/watch.sh [PROBES] [LINES] [PROGRAM]` or
# `bench/watch.sh many SOURCES [PROGRAM]`; see crates/nightlatch/examples/watching.
# Needs root, nft. Everything happens in namespaces of its own, which end with this script.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
tool=$(readlink -f "${CARGO_TARGET_DIR:-target}/release/examples/watching")
# As in pkg/systemd/nightlatch.service.
export MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_ARENA_MAX=2
# Processes of its own as well: `up` looks at all there are.
exec unshare --mount --pid --fork --kill-child --mount-proc "$tool" "$@"
