#!/usr/bin/env bash
# How fast long lists are loaded and changed, and what memory that takes, against ipset and nft, in
# one run. Needs root, nft, ipset and a machine that is otherwise quiet.
#
# Everything happens in namespaces of its own, which end with this script. A program that listens to
# changes of rulesets in any namespace of the machine (nft monitor, another nightlatch) makes nft and
# ours several times slower, as the kernel then writes a message for every element: end those first.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bench/lists.sh [ROUNDS]

  ROUNDS   how often each is measured, in turn; the tables show medians (5)
TEXT
}

main() {
    rounds=${1:-5}
    if [[ $# -gt 1 || ! $rounds =~ ^[1-9][0-9]*$ ]]; then
        usage >&2
        exit 2
    fi
    cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
    tool=$(readlink -f "${CARGO_TARGET_DIR:-target}/release/examples/lists")
    program=$(readlink -f "${CARGO_TARGET_DIR:-target}/release/nightlatch")
    if [[ ! -v NIGHTLATCH_BENCH_INSIDE ]]; then
        NIGHTLATCH_BENCH_INSIDE=yes exec unshare --net --mount --pid --fork --kill-child \
            --mount-proc "$0" "$rounds"
    fi
    work=$(mktemp --directory)
    trap 'rm --recursive --force "$work"' EXIT
    printf '\nLoading into an empty set, seconds and peak memory:\n\n'
    printf '| networks | Nightlatch | ipset restore | nft -f | ipset add, one by one |\n'
    printf '|---|---:|---:|---:|---:|\n'
    load_line 10000 usual '10,000 of IPv4'
    load_line 100000 usual '100,000 of IPv4'
    load_line 600000 usual '600,000 of IPv4'
    load_line 600000 usual '600,000 of IPv4, shuffled' shuffled
    load_line 600000 mixed '600,000 of IPv4, of thirteen lengths'
    load_line 200000 six '200,000 of IPv6'
    printf '\nOne in a hundred is another one, seconds and peak memory:\n\n'
    printf '| networks | Nightlatch | ipset restore | nft -f |\n|---|---:|---:|---:|\n'
    change_line 10000 usual '10,000 of IPv4'
    change_line 100000 usual '100,000 of IPv4'
    change_line 600000 usual '600,000 of IPv4'
    change_line 600000 mixed '600,000 of IPv4, of thirteen lengths'
    change_line 200000 six '200,000 of IPv6'
    whole_daemon
}

load_line() {
    local size=$1 mix=$2 name=$3 order=${4:-ascending} how
    "$tool" networks "$size" "$mix" >"$work/list"
    if [[ $order == shuffled ]]; then
        shuf --random-source="$work/list" "$work/list" --output="$work/list"
    fi
    measure load "$work/list"
    printf '| %s | %s | %s | %s | %s |\n' "$name" "$(cell ours)" "$(cell ipset)" "$(cell nft)" \
        "$(one_by_one "$size")"
}

change_line() {
    local size=$1 mix=$2 name=$3
    "$tool" networks "$size" "$mix" >"$work/list"
    "$tool" networks "$size" "$mix" changed >"$work/changed"
    measure change "$work/list" "$work/changed"
    printf '| %s | %s | %s | %s |\n' "$name" "$(cell ours)" "$(cell ipset)" "$(cell nft)"
}

# All of them in turn, so that what else the machine does meets them alike.
measure() {
    local how round
    rm --force "$work"/*.figures
    for ((round = 0; round < rounds; round++)); do
        for how in ours ipset nft; do
            # A change by nft of a long list takes minutes: twice tells enough.
            if [[ $1 == change && $how == nft && $round -ge 2 ]]; then continue; fi
            unshare --net timeout 300 "$tool" "$1" "$how" "${@:2}" >>"$work/$how.figures" ||
                echo "300 0" >>"$work/$how.figures"
        done
    done
}

# The medians of both columns.
cell() {
    local seconds megabytes
    seconds=$(cut --delimiter=' ' --fields=1 "$work/$1.figures" | median)
    megabytes=$(cut --delimiter=' ' --fields=2 "$work/$1.figures" | median)
    if [[ $megabytes == 0 ]]; then
        printf 'not done in 300 s'
    else
        printf '%.2f s, %.0f MB' "$seconds" "$megabytes"
    fi
}

# Two thousand calls of ipset, and what follows for more.
one_by_one() {
    head --lines=2000 "$work/list" >"$work/some"
    # shellcheck disable=SC2016 # for the shell inside
    unshare --net bash -c '
        family=inet
        if grep --quiet : "$1"; then family=inet6; fi
        ipset create x hash:net family $family maxelem 2000000
        begun=$(date +%s%N)
        while read -r network; do ipset add x "$network"; done <"$1"
        echo $(($(date +%s%N) - begun))' bash "$work/some" |
        awk -v n="$1" '{ printf "%.0f s (2,000 measured)", $1 / 1e9 / 2000 * n }'
}

median() {
    sort --general-numeric-sort | awk '{ all[NR] = $1 }
        END { print (NR % 2) ? all[(NR + 1) / 2] : (all[NR / 2] + all[NR / 2 + 1]) / 2 }'
}

# The daemon itself: from a feed's file to packets, with the disk and the audit log.
whole_daemon() {
    "$tool" networks 600000 usual | shuf --random-source=/dev/zero >"$work/four"
    "$tool" networks 200000 six | shuf --random-source=/dev/zero >"$work/six"
    "$tool" networks 600000 usual changed | shuf --random-source=/dev/zero >"$work/changed"
    printf '\nThe daemon, 600,000 networks of IPv4 and 200,000 of IPv6, shuffled, once:\n\n'
    printf '| | |\n|---|---:|\n'
    ip link set lo up
    mkdir "$work/state" "$work/run"
    export NIGHTLATCH_CONFIG=$work/none.toml NIGHTLATCH_STATE_DIR=$work/state
    export NIGHTLATCH_RUN_DIR=$work/run
    # As in pkg/systemd/nightlatch.service.
    export MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_ARENA_MAX=2
    daemon
    "$program" up --yes --mode open >"$work/said" 2>&1
    timed 'feed add, IPv4: read, checked, kept, in force' "$program" feed add four "$work/four"
    timed 'feed add, IPv6' "$program" feed add six "$work/six"
    memory 'peak memory of the daemon by then'
    cp "$work/changed" "$work/four"
    timed 'feed refresh, one in a hundred is another one' "$program" feed refresh four
    memory 'peak memory of the daemon by then'
    memory 'memory of the daemon then' VmRSS
    end_daemon
    timed 'restart, nothing changed meanwhile' daemon
    end_daemon
    nft add table inet foreign
    timed 'restart, somebody else changed a ruleset' daemon
    memory 'peak memory of the daemon by then'
    end_daemon
    nft flush ruleset
    timed 'boot: from the disk, without a daemon' "$program" boot
}

# Starts the daemon, and waits until it is ready.
daemon() {
    "$program" daemon 2>>"$work/log" &
    process=$!
    until "$program" status >"$work/said" 2>&1 || [[ $? != 69 ]]; do sleep 0.01; done
}

end_daemon() {
    kill -KILL "$process"
    wait "$process" 2>/dev/null || true
}

timed() {
    local what=$1 begun
    shift
    begun=$(date +%s%N)
    "$@" >"$work/said"
    awk -v what="$what" -v ns="$(($(date +%s%N) - begun))" \
        'BEGIN { printf "| %s | %.2f s |\n", what, ns / 1e9 }'
}

memory() {
    awk -v what="$1" -v which="${2:-VmHWM}:" \
        '$1 == which { printf "| %s | %.0f MB |\n", what, $2 / 1024 }' "/proc/$process/status"
}

main "$@"
