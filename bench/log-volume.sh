#!/usr/bin/env bash
# How much Kamailio logs about a removed telephone: with Nightlatch, which drops its packets without an
# error, and with a firewall that drops them in the output hook, so that `sendto` fails (EPERM). Needs
# root and Kamailio. Everything runs in private namespaces, which end with this script.
set -euo pipefail

usage() {
    echo "usage: bench/log-volume.sh [CALLS]" >&2
}

main() {
    calls=${1:-10}
    if [[ ! $calls =~ ^[1-9][0-9]*$ ]] || (($# > 1)); then
        usage
        exit 2
    fi
    nightlatch=$(readlink -f "${CARGO_TARGET_DIR:-target}/release/nightlatch")
    if [[ ! -v NIGHTLATCH_BENCH_INSIDE ]]; then
        NIGHTLATCH_BENCH_INSIDE=yes exec unshare --net --mount --pid --fork --kill-child \
            --mount-proc "$(readlink -f "$0")" "$calls"
    fi
    mount -t tmpfs tmpfs /run
    work=/run/log-volume
    mkdir "$work"
    network
    configure
    kamailio -DD -f "$work/kamailio.cfg" -Y "$work" >/dev/null 2>"$work/log" &
    sleep 2
    export NIGHTLATCH_CONFIG=$work/nightlatch.toml NIGHTLATCH_STATE_DIR=$work \
        NIGHTLATCH_RUN_DIR=$work
    "$nightlatch" up --yes --allow 198.51.100.41 >/dev/null 2>&1
    "$nightlatch" allow phone 198.51.100.21 --services sip >/dev/null

    printf '| %s calls to a removed telephone | lines | bytes |\n|---|---:|---:|\n' "$calls"
    "$nightlatch" remove phone >/dev/null
    measured "Nightlatch" silent
    "$nightlatch" allow phone 198.51.100.21 --services sip >/dev/null
    nft -f - <<'TEXT'
        table inet plain {
            chain out {
                type filter hook output priority 0
                ip daddr 198.51.100.21 udp sport 5060 drop
            }
        }
TEXT
    measured "drop in the output hook" eperm
}

# The server runs in this namespace; the telephones have a namespace of their own.
network() {
    unshare --net sleep infinity &
    phones=$!
    while [[ $(readlink "/proc/$phones/ns/net") == "$(readlink /proc/self/ns/net)" ]]; do
        sleep 0.01
    done
    ip link set lo up
    ip link add eth0 type veth peer name eth0 netns "$phones"
    ip address add 198.51.100.1/24 dev eth0
    ip link set eth0 up
    nsenter --net="/proc/$phones/ns/net" sh -c '
        # The first one is the caller.
        ip address add 198.51.100.41/24 dev eth0
        ip address add 198.51.100.21/24 dev eth0
        ip link set eth0 up'
}

configure() {
    local modules
    modules=$(dirname "$(find /usr/lib -name tm.so -path '*kamailio*' -print -quit)")
    cat >"$work/kamailio.cfg" <<TEXT
debug=2
log_stderror=yes
children=2
listen=udp:198.51.100.1:5060
mpath="$modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
request_route {
    \$du = "sip:198.51.100.21:5060";
    t_relay();
}
TEXT
}

# A row of the table: how much the log grows until Kamailio has given up all calls (32 s).
measured() {
    local lines bytes
    lines=$(wc -l <"$work/log")
    bytes=$(wc -c <"$work/log")
    call "$2"
    sleep 40
    echo "| $1 | $(($(wc -l <"$work/log") - lines)) | $(($(wc -c <"$work/log") - bytes)) |"
}

# INVITEs from an allowed telephone to the removed one, ten per second.
call() {
    local number target=198.51.100.1
    for ((number = 1; number <= calls; number++)); do
        printf '%s\r\n' "INVITE sip:phone@$target SIP/2.0" \
            "Via: SIP/2.0/UDP 198.51.100.41:5060;branch=z9hG4bK$1$number" \
            "From: <sip:caller@$target>;tag=1" "To: <sip:phone@$target>" \
            "Call-ID: $1$number" "CSeq: 1 INVITE" "Max-Forwards: 9" "Content-Length: 0" "" |
            nsenter --net="/proc/$phones/ns/net" bash -c "cat >/dev/udp/$target/5060"
        sleep 0.1
    done
}

main "$@"
