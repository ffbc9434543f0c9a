#!/usr/bin/env bash
# Strangers flood a server in open mode. Needs root. Everything runs in private namespaces, which end
# with this script.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: [OLD=PROGRAM|REVISION] bench/flood.sh [SECONDS]

  SECONDS   how long each version is flooded (default: 150)
  OLD       another version of nightlatch to flood first: a program, or a revision of this
            repository to build
TEXT
}

main() {
    if [[ $# -gt 1 || ! ${1:-150} =~ ^[1-9][0-9]*$ ]]; then
        usage >&2
        exit 2
    fi
    cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
    # shellcheck source=bench/old.sh
    source bench/old.sh
    old_program
    local tool
    tool=$(readlink -f "${CARGO_TARGET_DIR:-target}/release/examples/flood")
    # A private process namespace too: `up` looks at all processes.
    exec unshare --mount --pid --fork --kill-child --mount-proc "$tool" "${1:-150}" ${old:+"$old"}
}

main "$@"
