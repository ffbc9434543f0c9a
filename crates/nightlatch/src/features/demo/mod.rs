//! `nightlatch demo`: what a protected telephone server looks like from outside, before and after, with real
//! packets, without touching this machine.
//!
//! The demo builds a telephone server, an office, a traveller and an attacker in network namespaces of their own.
//! Each of the three tries to reach the server: all 65,535 TCP ports, the common UDP ports, packets made to slip
//! past a firewall (without SYN, in fragments, with odd headers, from port 53), pings and SIP requests, by IPv4 and
//! IPv6. Then the server is protected by the real daemon, office and traveller are allowed, and all three try
//! again.
//!
//! `nightlatch demo` needs `ip` (Debian: iproute2), `unshare`, `nsenter` and `setpriv` (util-linux). It runs as
//! root, or as any user where the machine allows user namespaces. When it ends, also by Ctrl-C, everything is
//! removed.
//!
//! The scanner and the namespaces are in a separate program, `nightlatch-lab`: it is not part of the program that
//! runs as root on the server. `nightlatch demo` starts it from beside `nightlatch`, or from `lib/nightlatch` or
//! `libexec/nightlatch` next to the folder of `nightlatch` (`install.sh` puts it into `/usr/local/lib/nightlatch`),
//! or from `/usr/lib/nightlatch`. It may be removed: nothing else needs it.

pub mod cli;
mod io;
mod wording;
