#!/usr/bin/env bash
# Boots a whole Debian with its systemd, several times over, with Nightlatch installed in it,
# and looks whether the firewall stands when it must: before the network, with the daemon or
# without, beside another firewall, and not at all after `nightlatch down`; and whether who guesses
# passwords of its sshd is banned, by what the journal tells.
#
# The Debian is made by debootstrap (kept for the next run) and booted by systemd-nspawn in a
# network of its own. What is checked inside stands in guest.sh.
#
# Ends with 0: all passed; 1: something failed; 77: cannot be done here, and why.
set -euo pipefail

suite_fallback=bookworm
packages=systemd,systemd-sysv,dbus,nftables,iproute2,iputils-ping,procps
packages=$packages,openssh-server,openssh-client
phases=(first-start after-reboot daemon-masked beside-nftables after-down attacked)
boot_limit=180 # seconds; a boot takes about ten, with attacks a minute

main() {
    [[ $# == 1 && -x $1 ]] || {
        echo "usage: pkg/boot/test.sh PROGRAM    (the nightlatch to test, built before)" >&2
        exit 2
    }
    program=$(readlink -f "$1")
    cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
    need_what_it_takes

    work=$(mktemp -d /var/tmp/nightlatch-boot.XXXXXX)
    machine=nightlatch-boot-$$
    root=$work/root
    nspawn=
    trap clean_up EXIT
    trap 'exit 130' INT TERM HUP

    unpack_debian
    install_program
    passed=0
    failed=0
    local phase
    for phase in "${phases[@]}"; do boot "$phase"; done
    echo "    real boot: $passed passed, $failed failed"
    ((failed == 0))
}

need_what_it_takes() {
    [[ $EUID == 0 ]] || cannot "only root can boot a container"
    local command
    for command in debootstrap systemd-nspawn apt-get tar; do
        command -v "$command" >/dev/null || cannot "$command is not installed"
    done
}

cannot() {
    echo "SKIPPED: real boot: $1"
    exit 77
}

# Ends what this script started, and leaves nothing behind.
clean_up() {
    if [[ -n $nspawn ]]; then
        kill "$nspawn" 2>/dev/null || true
        wait "$nspawn" || true
    fi
    rm -rf --one-file-system "$work"
    # Where /run is not a tmpfs, systemd-nspawn does not dare to remove its own directory.
    rmdir "/run/systemd/nspawn/propagate/$machine" 2>/dev/null || true
}

# ---------------------------------------------------------------- the Debian

# Unpacks the kept Debian, or makes it first.
unpack_debian() {
    local suite arch cache
    suite=$suite_fallback
    # As the machine itself, so that a program built here finds the same C library there.
    if grep -qx ID=debian /etc/os-release; then
        suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    fi
    arch=$(dpkg --print-architecture)
    # The name holds what is in it, so that another list of packages makes another file.
    cache=${XDG_CACHE_HOME:-/var/cache}/nightlatch-boot
    cache=$cache/$suite-$arch-$(cksum <<<"$packages" | cut -d' ' -f1).tar
    mkdir -p "$root"
    if [[ ! -s $cache ]]; then make_debian "$suite" "$cache"; fi
    tar -C "$root" -xf "$cache"
}

make_debian() {
    local suite=$1 cache=$2 mirror made=$work/made
    mirror=$(mirror_of "$suite")
    [[ -n $mirror ]] || cannot "this machine's apt sources name no mirror for $suite"
    echo "    making a Debian $suite (about a minute; kept in $cache)"
    if ! debootstrap --variant=minbase --include="$packages" "$suite" "$made" "$mirror" \
        >"$work/debootstrap.log" 2>&1; then
        tail -n 20 "$work/debootstrap.log"
        echo "debootstrap failed: see above and try again"
        exit 1
    fi
    rm -rf "$made"/var/cache/apt/archives/*.deb "$made"/var/lib/apt/lists/*
    mkdir -p "$(dirname "$cache")"
    tar -C "$made" -cf "$cache.$$" .
    mv "$cache.$$" "$cache"
    rm -rf --one-file-system "$made"
}

# The mirror from which this machine gets its own packages.
mirror_of() {
    # shellcheck disable=SC2016  # apt fills these in, not the shell
    apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' |
        awk -v suite="$1" '($2 == suite || $3 == suite) && $4 == "main" { print $1; exit }'
}

install_program() {
    DESTDIR=$root ./install.sh --binary "$program" >"$work/install.log" 2>&1 || {
        cat "$work/install.log"
        echo "install.sh failed: see above"
        exit 1
    }
    # Debian's own example of an nftables.conf: it begins with `flush ruleset`.
    grep -q '^flush ruleset' "$root/etc/nftables.conf"

    install -D -m 0755 pkg/boot/guest.sh "$root/boot-test/guest.sh"
    local unit
    for unit in network check; do
        install -D -m 0644 "pkg/boot/boot-test-$unit.service" "$root/etc/systemd/system/"
    done
    systemctl --root="$root" --quiet enable boot-test-network.service boot-test-check.service
    # Nobody logs in.
    systemctl --root="$root" --quiet mask console-getty.service getty.target
    systemctl --root="$root" --quiet set-default multi-user.target
}

# ---------------------------------------------------------------- one boot

# boot PHASE: boots, lets the guest check PHASE and power off, counts what it found.
boot() {
    local phase=$1 results=$root/boot-test/results status=0 started=$SECONDS
    echo "$phase" >"$root/boot-test/phase"
    : >"$results"
    rm -f "$root/boot-test/journal"

    timeout --kill-after=20 "$boot_limit" systemd-nspawn \
        --quiet --settings=no --register=no --keep-unit --private-network \
        --resolv-conf=off --timezone=off --link-journal=no \
        --machine="$machine" -D "$root" --boot \
        </dev/null >"$work/console.log" 2>&1 &
    nspawn=$!
    wait "$nspawn" || status=$?
    nspawn=

    echo "    $phase ($((SECONDS - started)) s)"
    sed 's/^/      /' "$results"
    local failures
    failures=$(grep -c '^FAILED' "$results" || true)
    passed=$((passed + $(grep -c '^ok' "$results" || true)))
    failed=$((failed + failures))
    if [[ $(tail -n1 "$results") != end ]]; then
        echo "      FAILED: the boot ended (status $status) before its checks did; its console:"
        tail -n 40 "$work/console.log"
        failed=$((failed + 1))
    fi
    if [[ $(tail -n1 "$results") != end || $failures != 0 ]]; then
        echo "      the journal of $phase:"
        sed 's/^/        /' "$root/boot-test/journal" 2>/dev/null | tail -n 30 || true
    fi
}

main "$@"
