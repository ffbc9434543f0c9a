#!/usr/bin/env bash
# How fast long lists are loaded and changed, against ipset and nft, all in one run: prints the
# table for docs/measured.md. Medians of ROUNDS (5) rounds; the tools take turns in each round.
#
#   docs/bench/lists.sh [SIZE...]        10000 100000 600000 without
#
# Needs root, nft and ipset, and a machine that is otherwise quiet. It works in network namespaces of
# its own. A program that listens to changes of rulesets in any namespace (nft monitor, another
# nightlatch) makes every tool several times slower, ours too, and is named.
# The scripts in single quotes are for other shells.
# shellcheck disable=SC2016
set -euo pipefail

rounds=${ROUNDS:-5}
sizes=("$@")
((${#sizes[@]} > 0)) || sizes=(10000 100000 600000)
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
target=${CARGO_TARGET_DIR:-target}
load=$target/release/examples/load
daemon=$target/release/nightlatch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

main() {
    [[ $EUID == 0 ]] || { echo "lists.sh: needs root" >&2; exit 77; }
    cargo build --quiet --release --locked -p nightlatch --bin nightlatch \
        -p nightlatch-netfilter --example load
    echo "Command: \`docs/bench/lists.sh ${sizes[*]}\`, medians of $rounds; $(nproc) cores," \
        "Linux $(uname -r), $(nft --version | cut -d' ' -f1-2), $(ipset --version | head -1)."
    echo
    echo "| networks of IPv4 | ours | ipset restore | nft -f | ipset add, one by one |"
    echo "|---|---|---|---|---|"
    for size in "${sizes[@]}"; do load_line "$size"; done
    echo
    echo "| 1 % of them changed | ours | ipset restore | nft -f |"
    echo "|---|---|---|---|"
    for size in "${sizes[@]}"; do change_line "$size"; done
    echo
    whole_daemon
}

# Time and peak memory of each tool, loading SIZE random networks in order into an empty set.
load_line() {
    local size=$1 how round
    for how in load ipset nft; do : >"$work/$how.s"; : >"$work/$how.mb"; done
    for ((round = 0; round < rounds; round++)); do
        for how in load ipset nft; do
            "$load" "$size" 4 "$how" >"$work/out"
            sed -nE 's/^(load|ipset|nft): ([0-9.]+) s$/\2/p' "$work/out" >>"$work/$how.s"
            sed -nE 's/.*peak memory ([0-9]+) MB/\1/p' "$work/out" >>"$work/$how.mb"
        done
    done
    printf '| %s | %s | %s | %s | %s |\n' "$size" "$(cell load)" "$(cell ipset)" "$(cell nft)" \
        "$(one_by_one "$size")"
}

cell() {
    printf '%s s, %s MB' "$(median <"$work/$1.s")" "$(median <"$work/$1.mb")"
}

# 2,000 calls of ipset, extrapolated.
one_by_one() {
    networks 2000 >"$work/some"
    local seconds
    seconds=$(unshare -n bash -c '
        ipset create x hash:net family inet maxelem 2000000
        begun=$(date +%s.%N)
        while read -r network; do ipset add x "$network"; done <"$1"
        echo "$(date +%s.%N) - $begun" | bc' bash "$work/some")
    awk -v s="$seconds" -v n="$1" 'BEGIN { printf "%.0f s (from 2,000)", s / 2000 * n }'
}

# Half of a hundredth deleted, half added, in a set that is loaded.
change_line() {
    local size=$1 round
    for how in ours ipset nft; do : >"$work/$how.s"; done
    networks "$size" | nl -nln -w1 -s' ' >"$work/all"
    awk '$1 % 200 == 1 { print $2 }' "$work/all" >"$work/gone"
    # Eight addresses on: none of the networks holds that.
    awk '$1 % 200 == 2 { print $2 }' "$work/all" | sed -E 's|/[0-9]+$||' |
        awk -F. '{ print $1 "." $2 "." $3 "." $4 + 8 }' >"$work/come"
    cut -d' ' -f2 "$work/all" >"$work/networks"
    for ((round = 0; round < rounds; round++)); do
        "$load" "$size" 4 netlink | sed -nE 's/^change 1 %.*: ([0-9.]+) s$/\1/p' >>"$work/ours.s"
        change_ipset >>"$work/ipset.s"
        # Minutes, where there are many.
        if ((round == 0 || size <= 10000)); then change_nft >>"$work/nft.s"; fi
    done
    printf '| %s | %s s | %s s | %s s |\n' "$size" "$(median <"$work/ours.s")" \
        "$(median <"$work/ipset.s")" "$(median <"$work/nft.s")"
}

change_ipset() {
    {
        echo "create x hash:net family inet maxelem 2000000"
        sed 's/^/add x /' "$work/networks"
    } >"$work/ipset.all"
    { sed 's/^/del x /' "$work/gone"; sed 's/^/add x /' "$work/come"; } >"$work/ipset.change"
    timed_after "ipset restore -file $work/ipset.all" "ipset restore -file $work/ipset.change"
}

change_nft() {
    {
        echo "table inet t { set x { type ipv4_addr; flags interval; } }"
        echo "add element inet t x {"
        sed 's/$/,/' "$work/networks"
        echo "}"
    } >"$work/nft.all"
    {
        echo "delete element inet t x {"
        sed 's/$/,/' "$work/gone"
        echo "}"
        echo "add element inet t x {"
        sed 's/$/,/' "$work/come"
        echo "}"
    } >"$work/nft.change"
    timed_after "nft -f $work/nft.all" "timeout 300 nft -f $work/nft.change"
}

# How long the second command takes in a network namespace where the first one has run.
timed_after() {
    unshare -n bash -c '
        $1
        begun=$(date +%s.%N)
        $2
        echo "$(date +%s.%N) - $begun" | bc' bash "$1" "$2"
}

# The daemon itself: from a feed's file to packets, with IPv4 and IPv6.
whole_daemon() {
    networks 600000 >"$work/four"
    awk 'BEGIN { for (i = 0; i < 200000; i++) printf "2a00:%x:%x::/48\n", i % 65521, i / 4 }' >"$work/six"
    echo "| the daemon, 600,000 networks of IPv4 and 200,000 of IPv6 | |"
    echo "|---|---|"
    unshare -n bash -euc '
        program=$1 work=$2
        export NIGHTLATCH_CONFIG=$work/none.toml NIGHTLATCH_STATE_DIR=$work/state NIGHTLATCH_RUN_DIR=$work/run
        mkdir -p "$work/state" "$work/run"
        ip link set lo up
        begin() {
            "$program" daemon 2>"$work/log" &
            pid=$!
            until "$program" status >/dev/null 2>&1 || [[ $? != 69 ]]; do sleep 0.01; done
        }
        end() { kill -9 "$pid"; wait "$pid" 2>/dev/null || true; }
        timed() {
            local what=$1 begun; shift
            begun=$(date +%s.%N)
            "$@" >/dev/null
            printf "| %s | %.2f s |\n" "$what" "$(echo "$(date +%s.%N) - $begun" | bc)"
        }
        memory() {
            printf "| %s | %d MB |\n" "$1" \
                "$(($(sed -nE "s/^VmHWM:\s+([0-9]+) kB/\1/p" "/proc/$pid/status") / 1024))"
        }
        begin
        "$program" up --yes --mode open >/dev/null 2>&1 || "$program" status >/dev/null
        timed "feed add, IPv4: read, checked, kept, in force" "$program" feed add four "$work/four"
        timed "feed add, IPv6" "$program" feed add six "$work/six"
        memory "peak memory of the daemon, so far"
        awk "NR % 100 == 0 { sub(/\\/.*/, \"\"); n = split(\$0, a, \".\"); print a[1] \".\" a[2] \".\" a[3] \".\" a[4] + 8; next } { print }" \
            "$work/four" >"$work/new"
        mv "$work/new" "$work/four"
        timed "1 % changed: feed refresh" "$program" feed refresh four
        memory "peak memory of the daemon"
        end
        timed "restart, nothing changed meanwhile" begin
        end
        nft add table inet foreign
        timed "restart, somebody else changed a ruleset" begin
        memory "peak memory after that"
        end
        nft flush ruleset
        timed "boot: from the disk, without network" "$program" boot' \
        bash "$daemon" "$work"
}

# So many networks at regular places, of three sizes.
networks() {
    awk -v n="$1" 'BEGIN {
        share = int(3500000000 / n)
        for (i = 0; i < n; i++) {
            at = 16777216 + i * share
            at -= at % 16
            split("32 31 29", prefix, " ")
            printf "%d.%d.%d.%d/%d\n", at / 16777216 % 256, at / 65536 % 256, at / 256 % 256, at % 256, prefix[i % 3 + 1]
        }
    }'
}

median() {
    sort -g | awk '{ all[NR] = $1 } END { print (NR % 2) ? all[(NR + 1) / 2] : (all[NR / 2] + all[NR / 2 + 1]) / 2 }'
}

main
