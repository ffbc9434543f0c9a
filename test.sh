#!/usr/bin/env bash
# Installs what the tests need and runs everything: format, lints, tidy, scripts, units, the
# real boot, then all tests of the program. Stops at the first failure.
set -euo pipefail
shopt -s extglob

usage() {
    cat <<'TEXT'
usage: ./test.sh [--boot | --no-boot] [--no-install]

  --boot        with the real boot of a whole Debian (needs root; the default when CI=true)
  --no-boot     without it
  --no-install  install no packages; a test that lacks its program says SKIPPED
TEXT
}

# What the tests use: the command that shows it is there, and its Debian package.
test_needs=(
    cc:gcc nft:nftables iptables:iptables ip:iproute2 ping:iputils-ping conntrack:conntrack
    ipset:ipset nmap:nmap sipp:sip-tester knock:knockd fwknop:fwknop-client pgrep:procps
    kamailio:kamailio baresip:baresip-core linphonec:linphone-cli ss:iproute2
    stdbuf:coreutils unshare:util-linux shellcheck:shellcheck man:man-db dnsmasq:dnsmasq-base
    script:bsdutils svcrack:sipvicious
)
# Those bring services that would be enabled on a developer's machine: for CI only.
ci_needs=(ssh:openssh-client sshd:openssh-server tor:tor-geoipdb fwknopd:fwknop-server)
boot_needs=(debootstrap:debootstrap systemd-nspawn:systemd-container)

main() {
    read_arguments "$@"
    cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
    # nft and its kind live in sbin, which an ordinary user's PATH lacks.
    export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
    target=${CARGO_TARGET_DIR:-target}
    passed=0
    failed=0
    skipped=()

    [[ $install == no ]] || step "packages" install_packages
    step "format" cargo fmt --all --check
    step "clippy, warnings denied" \
        cargo clippy --quiet --workspace --all-targets --locked -- -D warnings
    step "tidy" cargo run --quiet --locked -p xtask -- tidy
    step "shell scripts" check_scripts
    step "systemd units" check_units
    step "install.sh into a directory" check_install
    if [[ $boot == yes ]]; then
        step "a real boot" boot_test
    else
        skipped+=("a real boot: run ./test.sh --boot, as root")
    fi
    step "tests of the program" program_tests
    step "lists at full size" full_size_test

    say_what_was_skipped
    printf '%s passed, %s failed\n' "$passed" "$failed"
}

read_arguments() {
    install=yes
    boot=no
    asked_for_boot=no
    [[ ${CI:-} != true ]] || boot=yes
    while (($# > 0)); do
        case "$1" in
        --boot)
            boot=yes
            asked_for_boot=yes
            ;;
        --no-boot) boot=no ;;
        --no-install) install=no ;;
        --help | -h)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit 2
            ;;
        esac
        shift
    done
}

# step HEADING COMMAND...: runs it under a heading, with the time it took; ends all if it fails.
step() {
    local heading=$1 started=$SECONDS
    shift
    printf '\n==> %s\n' "$heading"
    running=$heading
    # In a condition, `set -e` would not hold inside the function; so it runs bare, and the
    # trap says which step it was.
    trap 'printf "\nFAILED: %s\n" "$running" >&2; printf "%s passed, %s failed\n" "$passed" "$((failed > 0 ? failed : 1))"' EXIT
    "$@"
    trap - EXIT
    local line
    for line in "${skipped[@]}"; do
        if [[ $line == "$heading: "* ]]; then
            printf '    SKIPPED: %s\n' "$line"
            return
        fi
    done
    passed=$((passed + 1))
    printf '    ok, %s s\n' "$((SECONDS - started))"
}

install_packages() {
    local need missing=() needs=("${test_needs[@]}")
    [[ ${CI:-} != true ]] || needs+=("${ci_needs[@]}")
    [[ $boot == no ]] || needs+=("${boot_needs[@]}")
    for need in "${needs[@]}"; do
        command -v "${need%%:*}" >/dev/null || missing+=("${need#*:}")
    done
    if [[ ! -e /usr/include/stdio.h ]]; then missing+=(libc6-dev); fi
    if ((${#missing[@]} == 0)); then
        echo "    nothing is missing"
    elif [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
        echo "    not installed (needs root and apt): ${missing[*]}"
        skipped+=("packages not installed: ${missing[*]}")
    else
        echo "    installing ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive
        # A test needs the program, not its service: nothing that comes may start by itself.
        without_services apt_install "${missing[@]}"
    fi
}

apt_install() {
    local options=(-y -q -o Dpkg::Use-Pty=0 --no-install-recommends)
    apt-get install "${options[@]}" "$@" >/dev/null 2>&1 && return
    apt-get update -q >/dev/null
    apt-get install "${options[@]}" "$@" >/dev/null
}

# Debian asks /usr/sbin/policy-rc.d whether a fresh service may start: answer no meanwhile.
without_services() {
    local policy=/usr/sbin/policy-rc.d status=0
    if [[ -e $policy ]]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
    "$@" || status=$?
    rm -f "$policy"
    return "$status"
}

check_scripts() {
    if ! command -v shellcheck >/dev/null; then
        skipped+=("shell scripts: shellcheck is not installed")
        return
    fi
    shellcheck install.sh test.sh .ci/run pkg/boot/*.sh
}

# `verify` wants to see the program it starts; here any program does. The booted Debian of the
# boot test verifies the units as they are.
check_units() {
    if ! command -v systemd-analyze >/dev/null; then
        skipped+=("systemd units: systemd-analyze is not installed")
        return
    fi
    local unit copies exposure
    copies=$(mktemp -d)
    for unit in pkg/systemd/*.service; do
        sed 's#/usr/local/bin/nightlatch#/bin/true#' "$unit" >"$copies/${unit##*/}"
    done
    systemd-analyze verify --man=no "$copies"/*.service
    for unit in "$copies"/*.service; do
        exposure=$(systemd-analyze security --no-pager --offline=yes --threshold=30 "$unit") || {
            echo "${unit##*/}: the sandbox is wider than 3.0 of systemd's scale; it says:"
            echo "$exposure"
            return 1
        }
        tail -n1 <<<"$exposure"
    done
    rm -rf "$copies"
}

# Twice over, for it must be repeatable, then off again: only what was there before may stay.
check_install() {
    cargo build --quiet --locked
    local root log
    root=$(mktemp -d)
    log=$(mktemp)
    mkdir -p "$root/usr/local/sbin"
    echo "somebody else's" >"$root/usr/local/sbin/iptables-restart"
    local round
    for round in first second; do
        DESTDIR=$root ./install.sh --binary "$target/debug/nightlatch" >"$log" 2>&1 || {
            echo "the $round run failed:"
            cat "$log"
            return 1
        }
    done
    "$root/usr/local/bin/nightlatch" --version
    "$root/usr/local/lib/nightlatch/nightlatch-lab" --help | grep -q '^usage: nightlatch-lab'
    [[ $(readlink "$root/usr/local/sbin/iptables-restart") == ../bin/nightlatch ]]
    [[ $(<"$root/usr/local/sbin/iptables-restart.before-nightlatch") == "somebody else's" ]]
    local snippet=$root/usr/share/nightlatch/snippets/kamailio.cfg
    cmp "$snippet" pkg/snippets/kamailio.cfg
    # While Kamailio includes it, it stays.
    mkdir -p "$root/etc/kamailio"
    grep -o 'include_file ".*"' "$snippet" >"$root/etc/kamailio/kamailio.cfg"
    DESTDIR=$root ./install.sh --uninstall >"$log" 2>&1
    cmp "$snippet" pkg/snippets/kamailio.cfg
    rm -r "$root/etc/kamailio"
    DESTDIR=$root ./install.sh --uninstall >"$log" 2>&1
    [[ $(cd "$root" && find . -type f -o -type l) == ./usr/local/sbin/iptables-restart ]] || {
        echo "--uninstall left behind:"
        (cd "$root" && find . -type f -o -type l)
        return 1
    }
    rm -rf "$root" "$log"
}

boot_test() {
    cargo build --quiet --locked
    local status=0
    pkg/boot/test.sh "$target/debug/nightlatch" || status=$?
    # 77: it cannot be done on this machine. Who asked for it by name wants to know.
    if [[ $status == 77 && $asked_for_boot == no ]]; then
        skipped+=("a real boot: it cannot be done here, see above")
        return 0
    fi
    return "$status"
}

# The captured output of tests that passed is kept in a file: there stands who was SKIPPED.
program_tests() {
    if [[ $EUID != 0 ]] && ! unshare -rn true 2>/dev/null; then
        skipped+=("kernel tests: neither root nor user namespaces here")
    fi
    local log=$target/test.log status=0
    mkdir -p "$target"
    # Cargo builds binaries for the tests of their own package only; those of nightlatch start the
    # program of the demo too.
    cargo build --locked --workspace --bins
    # Most tests with a kernel wait most of the time: one more runs beside them.
    export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) + 1))}
    cargo test --workspace --locked -- --show-output 2>&1 | tee "$log" | without_captured_output ||
        status=1
    local counts
    counts=$(awk '/^test result:/ { p += $4; f += $6 } END { print p + 0, f + 0 }' "$log")
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
    mapfile -t -O "${#skipped[@]}" skipped < <(grep -ao 'SKIPPED.*' "$log" | sort -u)
    return "$status"
}

# Alone: with other tests beside it, the kernel would keep gigabytes for their listeners.
full_size_test() {
    NIGHTLATCH_TEST_FULL_SIZE=1 cargo test --locked -p nightlatch --test it -- \
        --nocapture kernel::lists::full
}

without_captured_output() {
    awk '/^successes:$/ { hide = 1 } /^(failures:$|test result:)/ { hide = 0 } !hide { print; fflush() }'
}

say_what_was_skipped() {
    ((${#skipped[@]} > 0)) || return 0
    printf '\n'
    local line
    for line in "${skipped[@]}"; do printf 'SKIPPED: %s\n' "${line#SKIPPED?(:) }"; done
}

main "$@"
