#!/bin/bash
# How many log lines a CPU reads in a second with fail2ban's filters, in Nightlatch and in fail2ban-regex, with
# one failure in ten lines. Needs Debian's package fail2ban, and the example built with
#   cargo build --release -p nightlatch-parse --example fail2ban_read
# Usage: bench/fail2ban-filters.sh [LINES]     (of each log; default 100000)
set -eu
cd "$(dirname "$0")/.."
lines=${1:-100000}
reader=${CARGO_TARGET_DIR:-target}/release/examples/fail2ban_read
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

generate() { # FILTER: a log of that service
    awk -v lines="$lines" -v service="$1" '
    function address() { return "198.51.100." (1 + i * 7 % 250) }
    function clock() { return sprintf("%02d:%02d:%02d", i / 3600 % 24, i / 60 % 60, i % 60) }
    BEGIN {
        for (i = 0; i < lines; i++) {
            kind = i % 10
            if (service == "asterisk") {
                start = "[2026-11-20 " clock() "] "
                if (kind == 0 && i % 20) print start "NOTICE[3050] res_pjsip/pjsip_distributor.c: Request '\''REGISTER'\'' from '\''<sip:" i "@192.0.2.1>'\'' failed for '\''" address() ":5071'\'' (callid: " i "@" address() ") - Failed to authenticate"
                else if (kind == 0) print start "NOTICE[3050] chan_sip.c: Registration from '\''<sip:" i "@192.0.2.1>'\'' failed for '\''" address() ":5071'\'' - Wrong password"
                else if (kind < 4) print start "VERBOSE[3080][C-" i "] pbx.c: Executing [s@internal:" kind "] Dial(\"PJSIP/204-" i "\", \"PJSIP/205,20\") in new stack"
                else if (kind < 6) print start "VERBOSE[3080] res_pjsip_registrar.c: Added contact '\''sip:204@" address() ":5060'\'' to AOR '\''204'\'' with expiration of 300 seconds"
                else if (kind < 8) print start "NOTICE[3050] res_pjsip/pjsip_options.c: Contact 204/sip:204@" address() ":5060 is now Reachable.  RTT: 23.051 msec"
                else print start "SECURITY[3085] res_security_log.c: SecurityEvent=\"SuccessfulAuth\",EventTV=\"2026-11-20T08:36:39.000+0000\",Severity=\"Informational\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"204\",SessionID=\"" i "\",LocalAddress=\"IPV4/UDP/192.0.2.1/5060\",RemoteAddress=\"IPV4/UDP/" address() "/5060\",UsingPassword=\"1\""
            } else if (service == "sshd") {
                start = "Nov 20 " clock() " pbx sshd[" (1000 + i) "]: "
                if (kind == 0 && i % 20) print start "Failed password for invalid user admin" i " from " address() " port 50273 ssh2"
                else if (kind == 0) print start "Failed password for root from " address() " port 50273 ssh2"
                else if (i % 20 == 1) print start "Accepted publickey for office from 203.0.113.20 port 40100 ssh2: ED25519 SHA256:abcdefghijklmnopqrstuvwxyz"
                else if (kind < 5) print start "pam_unix(sshd:session): session opened for user office(uid=1000) by (uid=0)"
                else if (kind < 7) print start "pam_unix(sshd:session): session closed for user office"
                else if (kind < 8) print "Nov 20 " clock() " pbx systemd-logind[512]: New session " i " of user office."
                else print "Nov 20 " clock() " pbx CRON[" i "]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"
            } else {
                start = "Nov 20 " clock() " mail dovecot: "
                if (kind == 0) print start "imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<user" i ">, method=PLAIN, rip=" address() ", lip=192.0.2.1, TLS"
                else if (kind < 5) print start "imap-login: Login: user=<office>, method=PLAIN, rip=203.0.113.20, lip=192.0.2.1, mpid=" i ", TLS, session=<abc" i ">"
                else print start "imap(office)<" i "><abc>: Logged out in=50 out=500 deleted=0 expunged=0 trashed=0 hdr_count=0 hdr_bytes=0"
            }
        }
    }'
}

user_seconds() { # COMMAND...: the CPU seconds that it takes
    local TIMEFORMAT='%U %S'
    { time "$@" >"$folder/out" 2>&1; } 2>&1 | awk '{ print $1 + $2 }'
}

printf '%-9s %12s %14s %7s   failures (ours, theirs)\n' filter lines/CPU-s fail2ban-regex ratio
for filter in asterisk sshd dovecot; do
    log=$folder/$filter.log
    generate $filter >"$log"
    head -1 "$log" >"$folder/one.log"
    theirs=$(user_seconds fail2ban-regex "$log" $filter)
    their_failures=$(grep -o '[0-9]* matched' "$folder/out" | head -1)
    their_start=$(user_seconds fail2ban-regex "$folder/one.log" $filter)
    ours=$(user_seconds "$reader" $filter "$log" 40)
    our_start=$(user_seconds "$reader" $filter "$folder/one.log" 1)
    "$reader" $filter "$log" >"$folder/out"
    our_failures=$(grep -o '[0-9]* failures' "$folder/out")
    awk -v f=$filter -v n="$lines" -v a="$ours" -v a0="$our_start" -v b="$theirs" -v b0="$their_start" \
        -v of="$our_failures" -v tf="$their_failures" 'BEGIN {
        mine = 40 * n / (a - a0); its = n / (b - b0)
        printf "%-9s %12d %14d %7.0f   %s, %s\n", f, mine, its, mine / its, of, tf }'
done
