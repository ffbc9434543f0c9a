#!/usr/bin/env bash
# Runs every benchmark and prints the tables of docs/measured.md. Needs root, nft, iptables, ipset.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: [OLD=PROGRAM] bench/run.sh [--build-time]

  --build-time  also measures a cold build, which takes minutes
  OLD           another version of nightlatch, for the benchmarks that compare versions
TEXT
}

main() {
    build_time=no
    case "${1:-}" in
    --build-time) build_time=yes ;;
    "") ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
    cargo build --quiet --release --locked --package nightlatch --bin nightlatch \
        --example reaction --example lists --example flood --example changes --example names \
        --example leases --example access --example watching
    cargo build --quiet --release --locked --package nightlatch-netfilter --example packet_cost
    echo "# $(date --utc +%F), kernel $(uname -r), $(nft --version), $(nproc) cores"
    printf '\n## Cost per packet, every kind\n'
    bench/packet-cost.sh kinds
    printf '\n## Cost per packet, mode allowlist\n'
    bench/packet-cost.sh allowlist
    printf '\n## Cost per packet, mode open with long lists\n'
    bench/packet-cost.sh lists
    printf '\n## A flood of strangers\n'
    bench/flood.sh
    printf '\n## Loading lists\n'
    bench/lists.sh
    printf '\n## Reaction and memory\n'
    bench/reaction.sh
    printf '\n## Host names\n'
    bench/names.sh
    printf '\n## Leases\n'
    bench/leases.sh
    bench/packet-cost.sh leases
    printf '\n## Port knocking\n'
    bench/packet-cost.sh knocks
    bench/packet-cost.sh open
    bench/packet-cost.sh ipv6
    for users in 1 100 1000; do
        bench/access.sh "$users" 300 knock
    done
    printf '\n## Single packet authorization\n\n'
    bench/packet-cost.sh spa
    bench/spa.sh
    for users in 1 100 1000; do
        bench/access.sh "$users"
    done
    printf '\n## Bans\n'
    bench/packet-cost.sh bans
    printf '\n## Cost of a change\n\n'
    bench/changes.sh
    printf '\n## Size\n\n'
    size
    if [[ $build_time == yes ]]; then
        printf '\n## Cold build\n\n'
        cold_build
    fi
}

size() {
    local bytes
    bytes=$(stat --format=%s "${CARGO_TARGET_DIR:-target}/release/nightlatch")
    awk -v bytes="$bytes" 'BEGIN { printf "the release binary: %.1f MB\n", bytes / 1048576 }'
}

# All crates anew, none fetched: into an empty folder, with what cargo has downloaded already.
cold_build() {
    local folder
    folder=$(mktemp --directory)
    cargo fetch --quiet --locked
    local TIMEFORMAT='%0lR on the clock, %U s of CPU time'
    time CARGO_TARGET_DIR=$folder cargo build --quiet --release --locked --offline
    rm --recursive --force "$folder"
}

main "$@"
