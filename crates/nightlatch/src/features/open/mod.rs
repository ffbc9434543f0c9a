//! Open: how the person who has a card opens a server, from a laptop.
//!
//! `nightlatch open pbx.example.net --card card.txt` sends the packet of single packet authorization (SPA) for
//! which the card has the keys, as a client of fwknop does, but over IPv4 and IPv6: each family that the server has
//! and to which this computer has a route. It needs no root, no configuration and no daemon. The card is the text
//! that `nightlatch user card` prints or writes with `--text`, or only the part for fwknop. Keep it where others
//! cannot read it (`chmod 600 card.txt`).
//!
//! The server never answers such a packet, so the command tries for itself whether it had an effect: it connects to
//! TCP ports of the card and sends a SIP request (OPTIONS) to UDP ports. Any answer counts, also a refused
//! connection, because strangers get none at all. The packet is repeated twice if nothing answers; all of it takes
//! five seconds at most. For each address of the server it says `open`; `was open already`, if all that it tried
//! answered before the packet was sent; or `sent, cannot be verified`.
//!
//! A server ignores packets that are more than 120 seconds older or newer than its own clock, packets with keys
//! that were replaced or revoked, and packets that did not arrive. All of these look the same from here. The
//! administrator sees refused ones with `journalctl -u nightlatch`.
//!
//! What is open is the address from which the packet comes, as the server sees it. `--address` names another one;
//! whether it counts depends on the user. If the card says that packets must name the address (`ALLOW_IP resolve`),
//! the own address is named where this computer has a public one; behind a router that replaces addresses, say with
//! `--address` under which one this computer appears.
//!
//! `--keep` stays and repeats this after a change of address or route, when the server no longer answers, and from
//! time to time; at most once in ten seconds. It asks the server every 30 seconds, which also renews the lease.
//! Ctrl-C or SIGTERM ends it at any time; what is open stays open until its limit. `--close` ends the lease: the
//! connections through it end too.
//!
//! The exit code is 0 if every family is open (with `--close`: closed), 1 if not or if it cannot be verified. `-4`
//! and `-6` restrict it to one family.
//!
//! In JSON: `action`, `host`, `user`, `verified`, and for each of the `paths` its `family`, the address of the
//! `server`, the `source` of the packets, the address `named` in them, the `state` (`open`, `was_open`,
//! `unverified`, `closed`, `still_open`, `not_sent`, `no_route`, `no_address`, `address_needed`), the number of
//! `packets`, what `answered_before`, the `answers` after it (`accepted`, `refused` or `replied`), and what was
//! `silent`. With `--keep`, one line each time.

pub mod cli;
mod io;
mod keep;
mod logic;
mod wording;
