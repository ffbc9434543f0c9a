#!/usr/bin/env bash
# What a change of the running daemon costs: time, sends to the kernel, memory. Needs root, nft,
# strace. Everything runs in private namespaces, which end with this script.
set -euo pipefail

# How long all of it may take, in seconds.
patience=7200

usage() {
    cat <<'TEXT'
usage: [OLD=PROGRAM|REVISION] bench/changes.sh [PART [ROUNDS]]

  PART      all, block, clients, exchange, flush, long, memory, sends or judge (default: all)
  ROUNDS    how often each version is started and measured, in turn (default: 3)
  OLD       another version of nightlatch to compare with: a program, or a revision of this
            repository to build
TEXT
}

main() {
    if [[ $# -gt 2 || ! ${2:-3} =~ ^[1-9][0-9]*$ ]] ||
        [[ ! ${1:-all} =~ ^(all|block|clients|exchange|flush|long|memory|sends|judge)$ ]]; then
        usage >&2
        exit 2
    fi
    cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
    # shellcheck source=bench/old.sh
    source bench/old.sh
    old_program
    local tool
    tool=$(readlink -f "${CARGO_TARGET_DIR:-target}/release/examples/changes")
    # As in pkg/systemd/nightlatch.service.
    export MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_ARENA_MAX=2
    # A private process namespace too: `up` looks at all processes, and nothing is left behind.
    exec timeout --kill-after=10 "$patience" unshare --mount --pid --fork --kill-child \
        --mount-proc "$tool" "${1:-all}" "${2:-3}" ${old:+"$old"}
}

main "$@"
