#!/usr/bin/env bash
# Installs Nightlatch: fetches what is missing, builds, copies the files, runs `nightlatch up`.
# Running it again brings everything up to date and keeps every account and setting.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: ./install.sh [OPTION...] [ARGUMENTS OF "nightlatch up"...]

  (nothing)        install what is missing, build, copy the files, run "nightlatch up"
  --demo           install what the build and the demo need, then run "nightlatch demo";
                   copies nothing and does not touch this machine's firewall
  --no-up          do not run "nightlatch up" (for packagers and images)
  --uninstall      turn the firewall off and remove the files, after asking
  --yes            do not ask (also passed to "nightlatch up")
  --prefix DIR     where to install (default: /usr/local)
  --binary FILE    install this program instead of building it, and the program of its demo,
                   nightlatch-lab, if it is in the same folder
  --help           show this text

DESTDIR in the environment installs everything below another root directory; then nothing is
fetched and nothing is started. Other arguments, e.g. --mode open, are passed to "nightlatch up".
TEXT
}

# What each purpose needs from the distribution: the command that shows it is there, its package.
build_needs=("cc:gcc" "ar:binutils")
run_needs=("nft:nftables" "ip:iproute2")
# The command names of Travelin' Man 3; each is a link to the program.
old_names=(add-ip add-fqdn del-acct add-blacklist iptables-restart)
# The suffix of a foreign file of one of those names after it was renamed.
kept_suffix=.before-nightlatch

main() {
    words=${*:+ $*}
    read_arguments "$@"
    cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
    set_places

    case "$action" in
    demo)
        fetch_packages "${build_needs[@]}" "${run_needs[@]}"
        build
        step "Showing the demo; this machine's firewall is not touched"
        exec "$program" demo
        ;;
    uninstall)
        need_root
        uninstall
        ;;
    install)
        [[ -n $DESTDIR ]] || need_root
        if [[ -z $DESTDIR ]]; then
            fetch_packages "${run_needs[@]}"
            [[ -n $program ]] || fetch_packages "${build_needs[@]}"
        fi
        [[ -n $program ]] || build
        copy_program
        copy_lab
        copy_manuals_and_completions
        copy_units
        copy_examples
        copy_snippets
        link_old_names
        fetch_country_table
        start
        ;;
    esac
}

read_arguments() {
    action=install
    run_up=yes
    ask=yes
    prefix=/usr/local
    program=
    up_arguments=()
    DESTDIR=${DESTDIR:-}
    while (($# > 0)); do
        case "$1" in
        --demo) action=demo ;;
        --uninstall) action=uninstall ;;
        --no-up) run_up=no ;;
        --yes)
            ask=no
            up_arguments+=(--yes)
            ;;
        --prefix | --binary)
            (($# > 1)) || fail "$1 needs a value" "see ./install.sh --help"
            if [[ $1 == --prefix ]]; then prefix=$2; else program=$(readlink -f "$2"); fi
            shift
            ;;
        --prefix=*) prefix=${1#*=} ;;
        --binary=*) program=$(readlink -f "${1#*=}") ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) up_arguments+=("$1") ;;
        esac
        shift
    done
    [[ $prefix == /* ]] ||
        fail "--prefix $prefix is not an absolute path" "use e.g. --prefix /usr/local"
    [[ -z $program || -x $program ]] || fail "--binary: $program is not a program" "build it first"
}

# The program goes to bin, not sbin: everybody's PATH has it, also after a plain `su`, in
# root's crontab (/etc/crontab lists it), under sudo, and for users who only open access with
# their card. The old names go to sbin, where iptables-restart has always been.
set_places() {
    bin_dir=$DESTDIR$prefix/bin
    sbin_dir=$DESTDIR$prefix/sbin
    # The program of the demo: nobody calls it by hand, so it is not in the PATH.
    lab_dir=$DESTDIR$prefix/lib/nightlatch
    share_dir=$DESTDIR$prefix/share
    doc_dir=$share_dir/doc/nightlatch
    # Whatever the prefix: configurations of other servers name this place.
    snippet_dir=$DESTDIR/usr/share/nightlatch/snippets
    config_dir=$DESTDIR/etc/nightlatch
    # Whatever the prefix: where /usr/local is a disk of its own, it is not there yet when
    # systemd reads its units, and the early one would be missed; and a unit in /etc/systemd
    # could not be masked.
    unit_dir=$DESTDIR/usr/lib/systemd/system
}

# ---------------------------------------------------------------- packages and the build

# fetch_packages COMMAND:PACKAGE...: installs the packages whose command is missing.
fetch_packages() {
    local need missing=()
    for need in "$@"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "${need%%:*}" >/dev/null || missing+=("${need#*:}")
    done
    # A compiler without the C library's headers cannot build SQLite.
    if [[ " $* " == *" cc:"* && ! -e /usr/include/stdio.h ]]; then missing+=(libc6-dev); fi
    ((${#missing[@]} > 0)) || return 0

    step "Installing ${missing[*]}"
    command -v apt-get >/dev/null ||
        fail "this system has no apt-get" "install by hand: ${missing[*]}, then run this again"
    need_root
    apt_install "${missing[@]}"
}

# Updates the package lists only if installing with the present ones fails.
apt_install() {
    local options=(-y -q -o Dpkg::Use-Pty=0 --no-install-recommends)
    export DEBIAN_FRONTEND=noninteractive
    if ! apt-get install "${options[@]}" "$@" >/dev/null 2>&1; then
        say "the package lists are outdated: updating them"
        apt-get update -q >/dev/null ||
            fail "apt-get update failed" "check the network; see the lines above"
        apt-get install "${options[@]}" "$@" >/dev/null ||
            fail "apt-get could not install: $*" "see the lines above"
    fi
}

build() {
    find_cargo
    step "Building (the first time takes a few minutes)"
    as_owner cargo build --release --locked
    program=${CARGO_TARGET_DIR:-target}/release/nightlatch
    [[ -x $program && -x $program-lab ]] ||
        fail "the build did not create $program and $program-lab" "see the lines above"
    program=$(readlink -f "$program")
}

# sudo hides the cargo of the person who calls; look where rustup puts it.
find_cargo() {
    local home
    owner=
    if [[ $EUID == 0 && -n ${SUDO_USER:-} && $(stat -c %U .) == "$SUDO_USER" ]]; then
        owner=$SUDO_USER
    fi
    home=$(getent passwd "${SUDO_USER:-$(id -un)}" | cut -d: -f6)
    PATH=$PATH:$home/.cargo/bin:/usr/local/cargo/bin
    command -v cargo >/dev/null ||
        fail "no cargo found" "install Rust from https://rustup.rs, then run this again"

    local wanted present
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    present=$(as_owner rustc --version | cut -d' ' -f2)
    [[ $(printf '%s\n' "$wanted" "$present" | sort -V | head -n1) == "$wanted" ]] ||
        fail "Rust $present is too old, $wanted or newer is needed" "run: rustup update stable"
}

# Builds as the owner of the sources: no file of root in that user's home, and no build script
# of that user running as root.
as_owner() {
    if [[ -n $owner ]]; then
        runuser -u "$owner" -- env HOME="$(getent passwd "$owner" | cut -d: -f6)" PATH="$PATH" "$@"
    else
        "$@"
    fi
}

# ---------------------------------------------------------------- copying

copy_program() {
    step "Installing $prefix/bin/nightlatch"
    place 0755 "$program" "$bin_dir/nightlatch"
    [[ -d $config_dir ]] || install -d -m 0755 "$config_dir"
}

# The scanner and the network namespaces of the demo are a program of their own, so that they are
# not part of the one that runs as root. `nightlatch demo` finds it here.
copy_lab() {
    local lab=${program%/*}/nightlatch-lab
    if [[ -x $lab ]]; then
        place 0755 "$lab" "$lab_dir/nightlatch-lab"
    else
        say "$lab does not exist, so it was not installed; only \"nightlatch demo\" needs it"
    fi
}

# place MODE FROM TO: in one rename, so that a running program is never half written.
place() {
    install -D -m "$1" "$2" "$3.new"
    mv -f "$3.new" "$3"
}

copy_manuals_and_completions() {
    step "Installing the manual pages and the completions"
    local made page section
    made=$(mktemp -d)
    # shellcheck disable=SC2064  # the directory is known now
    trap "rm -rf '$made'" EXIT
    mkdir "$made/man" "$made/completions"
    "$program" generate man "$made/man"
    "$program" generate completions "$made/completions"

    for page in "$made"/man/*.[1-8]; do
        section=${page##*.}
        place 0644 "$page" "$share_dir/man/man$section/${page##*/}"
    done
    place 0644 "$made/completions/nightlatch.bash" "$share_dir/bash-completion/completions/nightlatch"
    place 0644 "$made/completions/_nightlatch" "$share_dir/zsh/site-functions/_nightlatch"
    place 0644 "$made/completions/nightlatch.fish" "$share_dir/fish/vendor_completions.d/nightlatch.fish"
    rm -rf "$made"
}

copy_units() {
    step "Installing the systemd units"
    local unit made
    made=$(mktemp)
    for unit in pkg/systemd/*.service; do
        sed "s#/usr/local/bin#$prefix/bin#g" "$unit" >"$made"
        place 0644 "$made" "$unit_dir/${unit##*/}"
    done
    rm -f "$made"
    if [[ -z $DESTDIR && -d /run/systemd/system ]]; then systemctl daemon-reload; fi
}

# Examples are documentation. The configuration itself is the administrator's: without one the
# defaults apply, and nothing here ever writes it.
copy_examples() {
    local file
    for file in examples/*.toml README.md CHANGELOG.md SECURITY.md LICENSE-MIT LICENSE-APACHE; do
        [[ ! -f $file ]] || place 0644 "$file" "$doc_dir/${file}"
    done
}

# Kamailio and OpenSIPS include these, if their administrator says so.
copy_snippets() {
    local file
    for file in pkg/snippets/*.cfg; do
        place 0644 "$file" "$snippet_dir/${file##*/}"
    done
}

link_old_names() {
    step "Linking the old names: ${old_names[*]}"
    local name link
    install -d "$sbin_dir"
    for name in "${old_names[@]}"; do
        link=$sbin_dir/$name
        if is_ours "$link"; then continue; fi
        if [[ -e $link || -L $link ]] && ! put_aside "$link"; then continue; fi
        ln -s "../bin/nightlatch" "$link"
    done
    for name in "${old_names[@]}"; do
        if [[ -z $DESTDIR && -f /root/$name ]]; then
            say "/root/$name is the old program: \"$name\" runs Nightlatch, \"./$name\" in /root the old one"
        fi
    done
}

is_ours() {
    [[ -L $1 && $(readlink "$1") == */nightlatch ]]
}

# A foreign file is renamed, never lost; an immutable one is left in place.
put_aside() {
    if ! mv -n "$1" "$1$kept_suffix" 2>/dev/null || [[ -e $1 || -L $1 ]]; then
        say "$1 was not replaced: it cannot be renamed (immutable, or $1$kept_suffix exists)."
        say "  To replace it: chattr -i $1; mv $1 $1.old; then run this again"
        return 1
    fi
    say "$1 existed before and was renamed to $1$kept_suffix"
}

# Addresses by country without asking anybody on the network. The Debian package would install
# and start Tor itself, so only its two tables are taken out of it; apt checks its signature.
fetch_country_table() {
    [[ -z $DESTDIR && ! -e /usr/share/tor/geoip ]] || return 0
    command -v apt-get >/dev/null || return 0
    step "Fetching the country table"
    local dir
    dir=$(mktemp -d)
    chmod 0755 "$dir"
    if (cd "$dir" && apt-get download -q tor-geoipdb && dpkg-deb -x tor-geoipdb_*.deb .) >/dev/null 2>&1; then
        place 0644 "$dir/usr/share/tor/geoip" "$share_dir/nightlatch/geoip"
        place 0644 "$dir/usr/share/tor/geoip6" "$share_dir/nightlatch/geoip6"
    else
        say "not available right now; only country rules need it. Run this again later."
    fi
    rm -rf "$dir"
}

# ---------------------------------------------------------------- starting and removing

start() {
    if [[ -n $DESTDIR ]]; then
        step "Done: everything is under $DESTDIR"
        return
    fi
    # Restart the daemon if an earlier version is running; the firewall stays active meanwhile.
    if [[ -d /run/systemd/system ]]; then systemctl try-restart nightlatch.service; fi
    if [[ $run_up == no ]]; then
        step "Done. To protect this machine: nightlatch up"
        return
    fi
    step "Starting: nightlatch up ${up_arguments[*]}"
    exec "$bin_dir/nightlatch" up "${up_arguments[@]}"
}

uninstall() {
    if [[ -z $DESTDIR ]]; then
        local answer=no
        if [[ $ask == no ]]; then
            answer=yes
        else
            [[ -t 0 ]] || fail "stdin is not a terminal" "use --uninstall --yes"
            say "This turns the firewall off: every service of this machine becomes reachable again."
            read -r -p "Remove Nightlatch? Type yes: " answer
        fi
        [[ $answer == yes ]] || fail "nothing was removed" "run it again and type yes"
        if [[ -x $bin_dir/nightlatch ]]; then
            step "Turning the firewall off"
            "$bin_dir/nightlatch" down --yes ||
                fail "the firewall could not be turned off, so nothing was removed" "see the lines above"
        fi
        if [[ -d /run/systemd/system ]]; then
            systemctl disable --now nightlatch.service nightlatch-boot.service || true
        fi
    fi
    remove_files
    [[ -n $DESTDIR || ! -d /run/systemd/system ]] || systemctl daemon-reload
    step "Removed. Kept: $config_dir and $DESTDIR/var/lib/nightlatch (accounts and the audit log)"
}

remove_files() {
    step "Removing the files"
    local name link
    for name in "${old_names[@]}"; do
        link=$sbin_dir/$name
        if is_ours "$link"; then rm -f "$link"; fi
        if [[ -e $link$kept_suffix && ! -e $link ]]; then mv "$link$kept_suffix" "$link"; fi
    done
    rm -f "$bin_dir/nightlatch" "$lab_dir/nightlatch-lab" "$unit_dir"/nightlatch{,-boot}.service
    rm -f "$share_dir"/man/man[1-8]/nightlatch{,-*}.[1-8]
    rm -f "$share_dir/bash-completion/completions/nightlatch" \
        "$share_dir/zsh/site-functions/_nightlatch" \
        "$share_dir/fish/vendor_completions.d/nightlatch.fish"
    rm -rf "$doc_dir"
    if [[ -d $lab_dir ]]; then rmdir --ignore-fail-on-non-empty "$lab_dir"; fi
    remove_snippets
    [[ $share_dir/nightlatch == "${snippet_dir%/*}" ]] || rm -rf "$share_dir/nightlatch"
}

# A server whose configuration includes a file that is gone does not start.
remove_snippets() {
    local users
    users=$(grep -rlsF "/usr/share/nightlatch/snippets/" \
        "$DESTDIR"/etc/kamailio "$DESTDIR"/usr/local/etc/kamailio \
        "$DESTDIR"/etc/opensips "$DESTDIR"/usr/local/etc/opensips) || true
    if [[ -n $users ]]; then
        say "$snippet_dir was not removed, because it is included by" "$users"
        rm -f "${snippet_dir%/*}"/geoip{,6}
        return
    fi
    rm -rf "${snippet_dir%/*}"
}

# ---------------------------------------------------------------- messages

step() { printf '\n==> %s\n' "$*"; }
say() { printf '    %s\n' "$*"; }

# fail WHAT NEXT: says what happened and what to do about it.
fail() {
    printf '\ninstall.sh: %s\n            %s\n' "$1" "$2" >&2
    exit 1
}

need_root() {
    [[ $EUID == 0 ]] || fail "this needs root" "run: sudo ./install.sh$words (or become root first)"
}

main "$@"
