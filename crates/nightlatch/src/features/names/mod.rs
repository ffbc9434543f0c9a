//! Names: the host names in use, and the addresses that count for them.
//!
//! An account may name hosts instead of addresses: `nightlatch allow road road.example.net`. The daemon asks the
//! name servers of `/etc/resolv.conf` again whenever an answer is no longer valid (after 30 seconds at the
//! earliest, 10 minutes at the latest), for IPv4 and IPv6; names in `/etc/hosts` count too. A new address is
//! allowed from its next packet on. A replaced one stays valid for 2 minutes (`overlap` under `[names]` in the
//! configuration), then its connections end. Where an answer shows only some of the addresses of a name, all of
//! them are valid. A name that begins with `_`, e.g. `_sip._udp.example.net`, stands for the servers of its SRV
//! records. `_sip.` before a domain, as in `_sip.example.net`, stands for the SIP servers of the domain, found as
//! phones find them (RFC 3263): by its NAPTR records; without these by its SRV records of SIP over UDP, TCP and
//! TLS; and without these the domain itself is the server.
//!
//! A name server that fails changes nothing for 7 days: the last good addresses stay valid, also after a reboot. If
//! it says for an hour, three times or more, that a name has no address, the last ones stay valid for 24 hours
//! since the first time (those of providers for 7 days), because a released address soon belongs to somebody else.
//! `nightlatch status` shows such names.
//!
//! DNS is not authenticated. So an account with a host name allows telephony only, unless `--services` names more.
//! Implausible answers are rejected and reported: loopback, multicast, link-local and reserved addresses, this
//! server's own, more than 64 of them, and private addresses unless the account was made with `--allow-private`. A
//! name that gets new addresses more than 20 times a day is reported too; one that does so within two hours is
//! looked up every 5 minutes at most.
//!
//! `nightlatch names` lists all names with their addresses. In JSON each has its `name`, the records that use
//! it (`of`, with whether private addresses count), the `addresses` that count, when they `changed` last, since when
//! look-ups are `failing_v4` and `failing_v6`, since when it is `gone`, and what was `refused` of the last answer;
//! moments are in milliseconds since 1970.

pub mod cli;
pub(crate) mod io;
mod wording;
