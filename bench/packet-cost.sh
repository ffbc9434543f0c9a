#!/usr/bin/env bash
# What a packet costs under Nightlatch and under others, in one run. Needs root, or unshare -rn
# around it. Everything happens in namespaces of its own, which end with this script.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: [OLD=PROGRAM|REVISION] bench/packet-cost.sh CASE [SAMPLES]

  kinds       every kind of packet, with 1,000 allowed addresses, compared with iptables with ten
              rules and with an ipset, and with Nightlatch itself
  allowlist   10, 1,000 and 100,000 allowed addresses, against linear iptables rules
  lists       open mode with 600,000 listed networks, against iptables with an ipset
  leases      200 allowed addresses: of an account, of an account beside one lease, and of users with
              leases, which running flows renew
  knocks      200 allowed addresses, and 0, 1, 100 and 1,000 users who can knock
  spa         the same with users who send SPA packets, and who have all credentials
  open        knocks and SPA packets in mode open, without lists
  ipv6        1,000 allowed addresses of IPv6, without and with users
  bans        200 allowed addresses, and 0, 1,000 and 100,000 bans
  SAMPLES     default: 9, for kinds and knocks 15
  OLD         another version of nightlatch to compare in `kinds`: a program, or a revision of this
              repository to build
TEXT
}

# How long another firewall may take to load its rules.
patience=60

main() {
    what=${1:-allowlist}
    samples=9
    case "$what" in
    kinds | knocks) samples=15 ;;
    allowlist | lists | leases | spa | open | ipv6 | bans) ;;
    *) refuse ;;
    esac
    samples=${2:-$samples}
    (($# <= 2)) || refuse
    cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
    # shellcheck source=bench/old.sh
    source bench/old.sh
    old_program
    target=${CARGO_TARGET_DIR:-target}
    nightlatch=$(readlink -f "$target/release/nightlatch")
    tool=$(readlink -f "$target/release/examples/packet_cost")
    if [[ ! -v NIGHTLATCH_BENCH_INSIDE ]]; then
        # The namespace of processes ends all of them with this script.
        NIGHTLATCH_BENCH_INSIDE=yes exec unshare --net --mount --pid --fork --kill-child \
            --mount-proc "$0" "$what" "$samples"
    fi
    # A lock and a state of its own for every program that keeps one.
    mount -t tmpfs tmpfs /run
    # Use the ports of a machine without a PBX, whatever is installed on this one.
    local folder
    for folder in /etc/asterisk /etc/freeswitch /etc/kamailio; do
        [[ ! -d $folder ]] || mount -t tmpfs tmpfs "$folder"
    done
    work=/run/nightlatch-bench
    mkdir "$work"
    echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
    number=0
    # The family of all packets.
    family=4
    compared="no firewall"
    : >"$work/variants"
    # Packets that a server sends arrive here and are dropped.
    nft add table netdev bench
    "$what"
    "$tool" measure "$samples" "$kinds" "$compared" <"$work/variants"
}

refuse() {
    usage >&2
    exit 2
}

kinds() {
    kinds=stranger,allowed,running,trunk,rtp-in,rtp-out,response-out,stranger-syn
    local size
    for size in 10 1000; do
        "$tool" addresses 4 "$size" >"$work/addresses.$size"
    done
    floors
    linear nft 10
    server 1000 0 "iptables-nft and an ipset, 1000 addresses"
    ipset_of hash:ip <"$work/addresses.1000" | inside ipset restore
    allow_set | inside iptables-nft-restore
    server 1000 0 "Nightlatch"
    nightlatch_allows 1000
    if [[ -n $old ]]; then
        server 1000 0 "Nightlatch, old version"
        nightlatch=$old nightlatch_allows 1000
    fi
    server 1000 0 "Nightlatch, repeated"
    nightlatch_allows 1000
    compared="iptables-nft, 10 linear rules"
}

allowlist() {
    kinds=stranger,allowed,stranger-syn,allowed-syn,running
    local size
    for size in 10 1000 100000; do
        "$tool" addresses 4 "$size" >"$work/addresses.$size"
    done
    floors
    for size in 10 1000 100000; do
        server "$size" 0 "Nightlatch, $size addresses"
        nightlatch_allows "$size"
    done
    for size in 10 1000 100000; do
        linear nft "$size"
        linear legacy "$size"
    done
    server 100000 0 "iptables-nft and an ipset, 100000 addresses"
    ipset_of hash:ip <"$work/addresses.100000" | inside ipset restore
    allow_set | inside iptables-nft-restore
}

lists() {
    kinds=listed,unlisted
    "$tool" networks 600000 >"$work/networks"
    floors 600000
    server 10 600000 "Nightlatch, open mode, no list"
    nightlatch_open
    server 10 600000 "Nightlatch, open mode, 600000 networks"
    nightlatch_open "$work/networks"
    local program
    for program in nft legacy; do
        server 10 600000 "iptables-$program and an ipset, 600000 networks"
        ipset_of hash:net <"$work/networks" | inside ipset restore
        refuse_set | inside "iptables-$program-restore"
    done
}

leases() {
    kinds=allowed,running,stranger
    "$tool" addresses 4 200 >"$work/addresses.200"
    floors
    server 200 0 "Nightlatch, accounts"
    nightlatch_allows 200
    server 200 0 "Nightlatch, accounts beside a lease"
    nightlatch_beside 200
    server 200 0 "Nightlatch, leases"
    nightlatch_leases 200
    server 200 0 "Nightlatch, accounts, repeated"
    nightlatch_allows 200
    compared="Nightlatch, accounts"
}

knocks() {
    kinds=scanner-syn,stranger-syn,stranger,allowed,running
    "$tool" addresses 4 200 >"$work/addresses.200"
    floors
    local users
    for users in 0 1 100 1000; do
        server 200 0 "Nightlatch, $users users who knock"
        nightlatch_users 200 "$users" knock
    done
    server 200 0 "Nightlatch, 0 users who knock, repeated"
    nightlatch_users 200 0 knock
    compared="Nightlatch, 0 users who knock"
}

# Packets to a port of nobody, beside REGISTER to SIP.
spa() {
    kinds=stranger,unlisted,stranger-syn,allowed,running
    "$tool" addresses 4 200 >"$work/addresses.200"
    floors
    server 200 0 "Nightlatch, no users"
    nightlatch_users 200 0 spa
    local keys
    for keys in spa knock,spa knock,spa,agent; do
        server 200 0 "Nightlatch, 100 users with $keys"
        nightlatch_users 200 100 "$keys"
    done
    server 200 0 "Nightlatch, no users, repeated"
    nightlatch_users 200 0 spa
    compared="Nightlatch, no users"
}

# Strangers reach signalling in this mode, so what they send goes to ports of nobody.
open() {
    kinds=unlisted,scanner-syn,allowed,running
    "$tool" addresses 4 200 >"$work/addresses.200"
    floors
    mode=open
    server 200 0 "Nightlatch, no users"
    nightlatch_users 200 0 knock
    local keys
    for keys in spa knock knock,spa,agent; do
        server 200 0 "Nightlatch, 100 users with $keys"
        nightlatch_users 200 100 "$keys"
    done
    server 200 0 "Nightlatch, no users, repeated"
    nightlatch_users 200 0 knock
    compared="Nightlatch, no users"
}

ipv6() {
    kinds=stranger,unlisted,stranger-syn,scanner-syn,allowed,allowed-syn,running
    family=6
    "$tool" addresses 6 1000 >"$work/addresses.1000"
    floors
    server 1000 0 "Nightlatch"
    nightlatch_users 1000 0 knock
    server 1000 0 "Nightlatch, 100 users with knock,spa"
    nightlatch_users 1000 100 knock,spa
    server 1000 0 "Nightlatch, repeated"
    nightlatch_users 1000 0 knock
    compared="Nightlatch"
}

bans() {
    kinds=banned,stranger,stranger-syn,allowed,running
    "$tool" addresses 4 200 >"$work/addresses.200"
    floors
    local count
    for count in 0 1000 100000; do
        server 200 0 "Nightlatch, $count bans" "$count"
        nightlatch_bans 200 "$count"
    done
    server 200 0 "Nightlatch, 0 bans, repeated"
    nightlatch_bans 200 0
    compared="Nightlatch, 0 bans"
}

# Sending alone, the machine without a firewall, and what connection tracking costs by itself.
floors() {
    local listed=${1:-0}
    server 10 "$listed" "sending alone"
    inside nft -f - <<<'table netdev floor {
        chain everything { type filter hook ingress device "eth0" priority 0; policy drop; }
    }'
    server 10 "$listed" "no firewall"
    server 10 "$listed" "connection tracking alone"
    inside nft -f - <<<'table inet floor {
        chain everything { type filter hook input priority 0; ct state established accept; }
    }'
}

# A namespace with the address 192.0.2.1, or 2001:db8::1, joined to this one by the interface serverN.
server() {
    local addresses=$1 networks=$2 name=$3 bans=${4:-0}
    number=$((number + 1))
    unshare --net sleep infinity &
    holder=$!
    # Until then the process is still in our namespace.
    while [[ $(readlink "/proc/$holder/ns/net") == "$(readlink /proc/self/ns/net)" ]]; do
        sleep 0.01
    done
    ip link add "server$number" type veth peer name eth0 address 02:00:00:00:00:01 netns "$holder"
    ip link set "server$number" address 02:00:00:00:00:02 up
    nft add chain netdev bench "from$number" \
        "{ type filter hook ingress device \"server$number\" priority 0; policy drop; }"
    inside sh -c '
        echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
        echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
        echo 0 >/proc/sys/net/ipv4/conf/default/rp_filter
        # A queue that is soon full: then an accepted SYN costs the same each time.
        echo 0 >/proc/sys/net/ipv4/tcp_syncookies
        echo 8 >/proc/sys/net/ipv4/tcp_max_syn_backlog
        ip link set lo up
        ip address add 192.0.2.1/24 dev eth0
        ip link set eth0 up
        ip neighbour replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev eth0
        ip route add default via 192.0.2.2'
    [[ $family == 4 ]] || inside sh -c '
        echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6
        echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6
        ip address add 2001:db8::1/64 dev eth0 nodad
        ip neighbour replace 2001:db8::2 lladdr 02:00:00:00:00:02 dev eth0
        ip route add default via 2001:db8::2'
    state=$work/state$number
    mkdir -p "$state"
    echo "$holder server$number $family $addresses $networks $bans $name" >>"$work/variants"
}

# Runs a program in the namespace of the last server.
inside() {
    nsenter --net="/proc/$holder/ns/net" -- "$@"
}

# Takes the last server out of the measurement.
leave_out() {
    sed -i '$d' "$work/variants"
    echo "left out: $1" >&2
}

nightlatch_here() {
    inside "$nightlatch" --config "$state/nightlatch.toml" --state-dir "$state" \
        --run-dir "$state" "$@" >/dev/null
}

# The real thing: up, and accounts of up to 1,000 addresses each. The daemon is not in the way of
# packets; it ends, so that it does not disturb the measurement, and the firewall stays.
nightlatch_allows() {
    nightlatch_here up --yes
    split --lines=1000 "$work/addresses.$1" "$state/account-"
    local file
    for file in "$state"/account-*; do
        # shellcheck disable=SC2046 # one word an address
        nightlatch_here allow "$(basename "$file")" --services sip $(<"$file")
    done
    end_daemon
}

# The same in one account, and somebody else who has a lease: so all running flows are looked at.
nightlatch_beside() {
    nightlatch_here up --yes
    # shellcheck disable=SC2046 # one word an address
    nightlatch_here allow bench --services sip $(<"$work/addresses.$1")
    nightlatch_here user add somebody --services sip --keys none
    nightlatch_here lease somebody 198.51.100.7
    end_daemon
}

# The same addresses, four of each user. The kernel keeps them alive without the daemon.
nightlatch_leases() {
    nightlatch_here up --yes
    local address number=0
    while read -r address; do
        if ((number % 4 == 0)); then
            nightlatch_here user add "user-$((number / 4))" --services sip --keys none
        fi
        nightlatch_here lease "user-$((number / 4))" "$address"
        number=$((number + 1))
    done <"$work/addresses.$1"
    end_daemon
}

# An account, and users who have used none of their credentials.
nightlatch_users() {
    local users=$2 keys=$3 number found
    nightlatch_here up --yes --mode "${mode:-allowlist}"
    # shellcheck disable=SC2046 # one word an address
    nightlatch_here allow bench --services sip $(<"$work/addresses.$1")
    for ((number = 0; number < users; number++)); do
        nightlatch_here user add "user-$number" --services sip --keys "$keys"
    done
    # Without users who knock there is no such chain.
    found=$({ inside nft list chain inet nightlatch knock.first 2>/dev/null || true; } |
        awk '{ found += gsub(/[0-9]+ : 0x[0-9a-f]+/, "") } END { print found + 0 }')
    [[ $keys == *knock* ]] || users=0
    ((found == users)) || {
        echo "the kernel has $found sequences instead of $users" >&2
        exit 1
    }
    end_daemon
}

# An account, and banned addresses as the daemon would write them into the kernel.
nightlatch_bans() {
    nightlatch_here up --yes
    # shellcheck disable=SC2046 # one word an address
    nightlatch_here allow bench --services sip $(<"$work/addresses.$1")
    end_daemon
    (($2 > 0)) || return 0
    {
        echo "add element inet nightlatch ban4 {"
        "$tool" banned 4 "$2" | sed 's/$/ timeout 1d,/'
        echo "}"
    } | inside nft -f -
}

nightlatch_open() {
    nightlatch_here up --yes --mode open
    if (($# > 0)); then
        # Returns when it is in force.
        nightlatch_here feed add bench "$1"
    fi
    end_daemon
}

# Ends the daemon of the last server: whatever runs in its namespace beside the holder.
end_daemon() {
    local space process
    space=$(readlink "/proc/$holder/ns/net")
    for process in /proc/[0-9]*; do
        if [[ $(readlink "$process/ns/net") == "$space" && $process != "/proc/$holder" ]]; then
            kill -KILL "${process#/proc/}"
        fi
    done
}

# The same list as rules of iptables, one after the other.
linear() {
    local program=$1 size=$2 begin=$SECONDS
    server "$size" 0 "iptables-$program, $size linear rules"
    if ! {
        frame
        sed 's/.*/-A INPUT -s & -j ACCEPT/' "$work/addresses.$size"
        echo COMMIT
    } | inside timeout "$patience" "iptables-$program-restore"; then
        leave_out "iptables-$program with $size rules: not loaded within $patience s"
    fi
    echo "iptables-$program, $size rules: loaded in $((SECONDS - begin)) s" >&2
}

# The beginning of every iptables firewall.
frame() {
    cat <<'TEXT'
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
TEXT
}

allow_set() {
    frame
    echo '-A INPUT -m set --match-set bench src -j ACCEPT'
    echo COMMIT
}

refuse_set() {
    frame
    echo '-A INPUT -m set --match-set bench src -j DROP'
    echo '-A INPUT -p udp --dport 5060 -j ACCEPT'
    echo COMMIT
}

ipset_of() {
    echo "create bench $1 maxelem 1000000"
    sed 's/^/add bench /'
}

main "$@"
