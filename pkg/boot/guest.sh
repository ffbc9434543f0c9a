#!/usr/bin/env bash
# Runs inside the booted Debian: brings up a network with strangers in it, checks one phase,
# writes what it found to /boot-test/results ("ok ...", "FAILED ...", at last "end").
#
# Hosts are network namespaces: `stranger` and `office`, each joined to this server by a wire of
# its own. Both send echo requests without a pause from the moment the wires come up, so a
# single open moment shows.
set -uo pipefail

here=/boot-test
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

main() {
    case "$1" in
    network) network ;;
    check) check_phase "$(<$here/phase)" ;;
    power-off) systemctl --no-block poweroff ;;
    esac
}

# ---------------------------------------------------------------- the network

network() {
    mkdir -p /run/boot-test
    nft list tables >/run/boot-test/tables-before-network
    wire stranger 198.51.100 2001:db8:1
    wire office 192.0.2 2001:db8:2
    # A service for TCP: says back what it is told.
    systemd-socket-activate --listen=82 --accept --inetd cat >/run/boot-test/echo 2>&1 &
}

# talk NAME: a TCP conversation of that host with the service, ten lines a second.
talk() {
    ip netns exec "$1" bash -c "exec 3<>/dev/tcp/$(address_for "$1" 4)/82
        while echo hello >&3; do
            read -r -t 1 -u 3 && echo 'bytes from the service'
            sleep 0.1
        done" >"/run/boot-test/$1.tcp" 2>&1 &
    talker=$!
}

# wire NAME NET4 NET6: a host NAME at NET4.10 and NET6::10; this server is .1 and ::1 for it.
wire() {
    local name=$1 net4=$2 net6=$3
    ip netns add "$name"
    ip link add "$name" type veth peer name eth0 netns "$name"
    ip -n "$name" link set lo up
    ip -n "$name" address add "$net4.10/24" dev eth0
    ip -n "$name" -6 address add "$net6::10/64" dev eth0 nodad
    ip -n "$name" link set eth0 up
    ip address add "$net4.1/24" dev "$name"
    ip -6 address add "$net6::1/64" dev "$name" nodad
    ip link set "$name" up
    ip netns exec "$name" ping -n -i 0.05 "$net4.1" >"/run/boot-test/$name.4" 2>&1 &
    ip netns exec "$name" ping -n -i 0.05 "$net6::1" >"/run/boot-test/$name.6" 2>&1 &
}

# ---------------------------------------------------------------- the phases

check_phase() {
    wait_for 30 systemctl is-active --quiet network.target
    case "$1" in
    first-start) first_start ;;
    after-reboot) after_reboot ;;
    daemon-masked) daemon_masked ;;
    beside-nftables) beside_nftables ;;
    after-down) after_down ;;
    attacked) attacked ;;
    esac
    journalctl --no-pager -b -o short-monotonic -u 'nightlatch*' -u nftables -u 'boot-test*' \
        >$here/journal 2>&1
    echo end >>$here/results
}

# Lets everything through, but makes the kernel track connections.
other_firewall='table inet other {
    chain input { type filter hook input priority 10; ct state new counter; }
}'

first_start() {
    nft "$other_firewall"
    check "no firewall yet: a stranger is answered (so silence later means something)" heard stranger
    check "systemd-analyze verify has nothing to say" verify_units
    check "nightlatch up --yes" nightlatch up --yes
    nft delete table inet other
    check "nightlatch allow office" nightlatch allow office 192.0.2.10 2001:db8:2::10
    check "both units are enabled" \
        systemctl is-enabled --quiet nightlatch.service nightlatch-boot.service
    check "the daemon runs and has said it is ready" daemon_active
    check "the table stands" table_stands
    check "the daemon is in its sandbox" daemon_sandboxed
    check "a stranger meets silence" silent stranger
    check "the office is answered" heard office
}

after_reboot() {
    standing_before_network
    check "the daemon runs and has said it is ready" daemon_active
    check "the watchdog is fed" watchdog_armed

    local killed
    killed=$(systemctl show -P MainPID nightlatch.service)
    kill -9 "$killed"
    check "kill -9 of the daemon: the table stands" table_stands
    check "systemd starts it again" wait_for 10 new_daemon "$killed"

    systemctl stop nightlatch.service
    check "daemon stopped: the table stands" table_stands
    systemctl stop nightlatch-boot.service
    check "early unit stopped: the table stands" table_stands
    systemctl start nightlatch.service
    check "started again: the table stands" table_stands
    check "from the boot until now no stranger had an answer" never_heard stranger
    check "the office is answered" heard office

    nft flush ruleset
    check "nft flush ruleset: the table is back within a second" wait_for 1 table_stands
    a_flow_slips_in

    check "the daemon can be masked" systemctl mask --now --quiet nightlatch.service
}

# Another firewall wipes ours away and tracks connections; meanwhile the daemon sleeps, or does
# not run. What a stranger began in that gap must not go on as an established flow.
a_flow_slips_in() {
    local daemon
    daemon=$(systemctl show -P MainPID nightlatch.service)
    slip_in "the daemon asleep, then awake" "kill -STOP $daemon" "kill -CONT $daemon"
    slip_in "the daemon stopped, then started" \
        "systemctl stop nightlatch.service" "systemctl start nightlatch.service"
}

# slip_in WORDS BEFORE AFTER: what a stranger begins between the two commands must end.
slip_in() {
    local words=$1
    $2
    nft -f - <<<"flush ruleset; $other_firewall"
    check "$words: meanwhile a stranger is answered" heard stranger
    talk stranger
    check "$words: a stranger begins to talk over TCP" wait_for 5 more_answers stranger tcp 2
    $3
    check "$words: the table is back within a second" wait_for 1 table_stands
    sleep 1
    check "$words: the echo requests have no more answers" silent stranger
    check "$words: the TCP conversation has ended" \
        not wait_for 2 more_answers stranger tcp "$(answers stranger tcp)"
    kill "$talker" 2>/dev/null
    nft delete table inet other
}

daemon_masked() {
    standing_before_network
    check "the daemon does not run" not systemctl is-active --quiet nightlatch.service
    check "no stranger had an answer" never_heard stranger
    check "the office is answered" heard office
    systemctl enable --quiet nftables.service
}

# The daemon is still masked, so nobody but the order of the units can save the table.
beside_nftables() {
    check "nftables.service has loaded its own table" nft list table inet filter
    standing_before_network
    check "no stranger had an answer" never_heard stranger
    check "the office is answered" heard office

    systemctl unmask --quiet nightlatch.service
    systemctl start nightlatch.service
    check "the daemon unmasked: it runs" daemon_active
    systemctl restart nftables.service
    check "nftables.service restarted: the table is back within a second" wait_for 1 table_stands
    check "a stranger meets silence" silent stranger

    check "nightlatch down --yes" nightlatch down --yes
    check "no table is left" not table_stands
    check "a stranger is answered" heard stranger
}

after_down() {
    check "no table before the network" \
        not grep -q 'inet nightlatch' /run/boot-test/tables-before-network
    check "no table now" not table_stands
    check "a stranger is answered" heard stranger
}

# Strangers reach sshd, and the daemon reads what it writes into the journal.
attacked() {
    mkdir -p /etc/nightlatch
    printf '[open]\nservices = ["ssh"]\n' >/etc/nightlatch/nightlatch.toml
    printf '#!/bin/sh\necho wrong\n' >/run/boot-test/wrong
    chmod 755 /run/boot-test/wrong
    systemctl restart nightlatch.service
    check "nightlatch up --yes" nightlatch up --yes
    check "nightlatch mode open" nightlatch mode open
    check "sshd is read from the journal, and fully trusted" wait_for 10 journal_is_read

    check "somebody writes lines of sshd into the journal" forge_lines
    check "the office has a wrong password" guess office
    check "that is seen" wait_for 10 attempts_are_at_least 1
    sleep 3
    # One wrong password writes a few lines.
    each=$(attempts)
    check "and nothing of the lines that others wrote" eval "((each < 6))"
    check "nobody is banned for them" not banned 198.51.100.7

    the_journal_goes_on

    check "a stranger reaches sshd" reaches stranger
    local round
    for round in 1 2 3 4 5; do check "a stranger guesses ($round)" guess stranger; done
    check "the stranger is banned" wait_for 10 banned 198.51.100.10
    check "for what sshd itself has written" fully_banned
    check "the next SYN of the stranger is dropped" not reaches stranger
    check "the stranger meets silence" silent_port stranger
    check "the office reaches sshd" reaches office
}

# Nothing that happens to the journal, its reader or the daemon hides an attempt, or counts one twice.
the_journal_goes_on() {
    local daemon reader
    daemon=$(systemctl show -P MainPID nightlatch.service)
    reader=$(pgrep -P "$daemon" -x journalctl)
    check "the reader of the journal is killed, and meanwhile the office fails" \
        eval "kill -9 $reader && guess office"
    check "that is seen" wait_for 10 attempts_are $((2 * each))
    check "once" stays attempts_are $((2 * each))

    check "the journal is rotated, and its old files are removed" \
        eval "journalctl --rotate && journalctl --vacuum-time=1s"
    check "the office fails" guess office
    check "that is seen" wait_for 10 attempts_are $((3 * each))
    check "once" stays attempts_are $((3 * each))

    sleep 2 # until it is kept how far was read
    systemctl stop nightlatch.service
    check "the daemon is stopped, and the office fails" guess office
    systemctl start nightlatch.service
    check "that alone is seen" wait_for 10 attempts_are "$each"
    check "once" stays attempts_are "$each"

    sleep 2
    systemctl stop nightlatch.service
    check "the daemon is stopped, the office fails, the journal is rotated and emptied" \
        eval "guess office && journalctl --rotate && journalctl --vacuum-time=1s"
    systemctl start nightlatch.service
    check "the office fails again, and that is seen" \
        eval "guess office && wait_for 10 attempts_are_at_least 1"
}

standing_before_network() {
    check "the table stood before any interface came up" \
        grep -q 'inet nightlatch' /run/boot-test/tables-before-network
    check "the early unit was done before network-pre.target" early_enough
    check "the table stands" table_stands
}

# ---------------------------------------------------------------- what is looked at

table_stands() { nft list table inet nightlatch; }

journal_is_read() {
    nightlatch watch list --json | grep '"log":"journal ssh"[^{}]*"state":"read"[^{}]*"trust":"full"'
}

# How many lines about attempts sshd has written, as far as the daemon has read since it was started.
attempts() {
    nightlatch watch list --json |
        sed -n 's/.*"attempts":\([0-9]*\)[^{}]*"log":"journal ssh".*/\1/p'
}

attempts_are() { [[ $(attempts) == "$1" ]]; }

attempts_are_at_least() { (($(attempts) >= $1)); }

# stays COMMAND...: it succeeds for the next two seconds.
stays() {
    local round
    for round in {1..10}; do
        "$@" || {
            echo "attempts: $(attempts)"
            return 1
        }
        sleep 0.2
    done
}

# Lines as sshd writes them, by a user and by root, over syslog and to the journal itself.
forge_lines() {
    local line='Failed password for root from 198.51.100.7 port 22 ssh2' number
    for number in {1..10}; do
        runuser -u nobody -- logger -t sshd "$line" &&
            runuser -u nobody -- logger -t "sshd[$number]" "$line" &&
            runuser -u nobody -- systemd-cat -t sshd echo "$line" &&
            logger -t sshd --id="$number" "$line" || return 1
    done
    wait_for 10 eval "journalctl -t sshd -q -o cat | grep -c '198.51.100.7' | grep -qx 40"
}

# guess NAME: that host tries a wrong password. Who is banned for it may get no answer any more.
guess() {
    ip netns exec "$1" env SSH_ASKPASS=/run/boot-test/wrong SSH_ASKPASS_REQUIRE=force setsid -w \
        timeout 8 ssh -F none -T -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o PreferredAuthentications=password -o NumberOfPasswordPrompts=1 -o ConnectTimeout=5 \
        "root@$(address_for "$1" 4)" true </dev/null 2>&1 | tee /run/boot-test/ssh
    [[ ${PIPESTATUS[0]} == 124 ]] || grep -q 'Permission denied' /run/boot-test/ssh
}

banned() { nightlatch bans --json | grep "\"range\":\"$1\"[^{}]*\"cause\":{\"attack\""; }

fully_banned() { nightlatch bans --json | grep '"attack":{"weight":"full"'; }

# reaches NAME: a connection of that host with sshd.
reaches() {
    ip netns exec "$1" timeout 2 bash -c "exec 3<>/dev/tcp/$(address_for "$1" 4)/22"
}

# silent_port NAME: no refusal either.
silent_port() {
    reaches "$1"
    [[ $? == 124 ]]
}

verify_units() {
    local said
    said=$(systemd-analyze verify --man=no nightlatch.service nightlatch-boot.service 2>&1)
    # Only what concerns our units: Debian's own may have warnings.
    ! grep nightlatch <<<"$said"
}

daemon_active() {
    wait_for 10 systemctl is-active --quiet nightlatch.service
}

new_daemon() {
    local now
    now=$(systemctl show -P MainPID nightlatch.service)
    [[ $now != 0 && $now != "$1" ]] && systemctl is-active --quiet nightlatch.service
}

# The kernel's word for it, not the unit's.
daemon_sandboxed() {
    local status
    status=/proc/$(systemctl show -P MainPID nightlatch.service)/status
    grep -E '^(NoNewPrivs|Seccomp|CapBnd)' "$status"
    # Bits 1, 2, 5, 6, 7, 12, 19: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_KILL, CAP_SETGID,
    # CAP_SETUID, CAP_NET_ADMIN, CAP_SYS_PTRACE.
    grep -qE '^NoNewPrivs:\s1$' "$status" && grep -qE '^Seccomp:\s2$' "$status" &&
        grep -qE '^CapBnd:\s00000000000810e6$' "$status"
}

watchdog_armed() {
    [[ $(systemctl show -P WatchdogTimestampMonotonic nightlatch.service) != 0 ]]
}

early_enough() {
    local unit target
    unit=$(systemctl show -P ActiveEnterTimestampMonotonic nightlatch-boot.service)
    target=$(systemctl show -P ActiveEnterTimestampMonotonic network-pre.target)
    echo "nightlatch-boot.service done at $unit us, network-pre.target reached at $target us"
    ((unit > 0 && target > 0 && unit <= target))
}

# heard NAME: the host has answers now, on IPv4 and IPv6.
heard() {
    local name=$1 family before
    for family in 4 6; do
        before=$(answers "$name" "$family")
        wait_for 5 more_answers "$name" "$family" "$before" || return 1
    done
}

more_answers() { (($(answers "$1" "$2") > $3)); }

# silent NAME: no answer in the next two seconds (forty requests a family), nor a refusal.
silent() {
    local name=$1 before4 before6
    before4=$(answers "$name" 4)
    before6=$(answers "$name" 6)
    sleep 2
    (($(answers "$name" 4) == before4 && $(answers "$name" 6) == before6)) || return 1
    refused "$name"
}

# never_heard NAME: not one answer since the wires came up, and it did ask all the time.
never_heard() {
    local name=$1 family
    for family in 4 6; do
        pgrep -f "^ping .*$(address_for "$name" "$family")\$" >/dev/null || {
            echo "its ping over IPv$family does not run"
            return 1
        }
        (($(answers "$name" "$family") == 0)) || {
            grep -m3 'bytes from' "/run/boot-test/$name.$family"
            return 1
        }
    done
    refused "$name"
}

# refused NAME: fails if a closed port says so; silence is what we want to meet.
refused() {
    ip netns exec "$1" timeout 1 bash -c "exec 3<>/dev/tcp/$(address_for "$1" 4)/81"
    [[ $? == 124 ]]
}

address_for() {
    case "$1.$2" in
    stranger.4) echo 198.51.100.1 ;;
    stranger.6) echo 2001:db8:1::1 ;;
    office.4) echo 192.0.2.1 ;;
    office.6) echo 2001:db8:2::1 ;;
    esac
}

answers() { grep -c 'bytes from' "/run/boot-test/$1.$2"; }

# ---------------------------------------------------------------- helpers

# check WORDS COMMAND...: one line in the results; what the command said, only if it failed.
check() {
    local words=$1 said
    shift
    if said=$("$@" 2>&1); then
        echo "ok      $words" >>$here/results
    else
        echo "FAILED  $words" >>$here/results
        tail -n 10 <<<"$said" | sed 's/^/          /' >>$here/results
    fi
}

not() { ! "$@"; }

# wait_for SECONDS COMMAND...: until it succeeds; fails when the time is over.
wait_for() {
    local end=$(($(milliseconds) + $1 * 1000))
    shift
    until "$@"; do
        (($(milliseconds) < end)) || return 1
        sleep 0.02
    done
}

milliseconds() {
    local uptime
    read -r uptime _ </proc/uptime
    echo $((10#${uptime/./} * 10))
}

main "$@"
