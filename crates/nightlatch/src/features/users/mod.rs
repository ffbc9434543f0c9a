//! Users: people without a fixed address.
//!
//! `nightlatch user add anna --services sip,web --keys knock,spa,agent` makes a user with credentials: a knock
//! sequence, keys for single packet authorization (SPA, with unmodified fwknop clients), a secret user agent for a
//! SIP phone. Without `--services`, they open telephony only. `nightlatch user card anna` shows what to hand over,
//! once: on the terminal, or with `--html`, `--svg` or `--text` in a file that only root can read. Everything that
//! a credential opens is for the services of the user only, and is closed after 8 hours without a packet, at the
//! latest after 7 days (`[users]` in the configuration, `--lease` for one user).
//!
//! `user rotate` replaces the credentials, `user revoke` removes the user: whatever was opened is closed, and its
//! connections end. Both erase the old secrets from the database. The database is the only place where secrets are
//! kept; no list, log or notice shows them, and where a credential is named, it is by a random fingerprint. Names
//! and notes are public: they are in lists and in the audit log.
//!
//! **Knocks.** A knock is a TCP SYN to each of three ports, in their order and within 15 seconds: `knock -d 300
//! HOST P1 P2 P3`, `nmap` with one port at a time, or an app. The kernel opens the sender's address by itself, also
//! while the daemon is stopped; IPv4 and IPv6 are opened separately. Nothing answers, repetitions of a port do no
//! harm, and any other SYN to a port that belongs to no service starts from the beginning, so no scan opens
//! anything. Lists and countries do not block knocks; a block does. With `--permanent on` (`user permanent on` for
//! all users; formerly `iptables-knock activate`), a knock opens for as long as the address is used: until 30 days
//! without a packet, for four addresses of a user, and never for ssh or web.
//!
//! **SPA.** The client sends one packet to the user's own UDP port, where nothing listens and nothing answers: the
//! firewall copies it to the daemon and drops it. The message is encrypted and authenticated with the user's keys,
//! must not be older than two minutes by the clock of the client, and is accepted once, also after a restart. It
//! opens the address from which it came; with `--any-address`, also another one that it names; with
//! `--require-address` it must name one, so that a captured packet cannot be replayed from another address. It
//! opens those services of the user of which it names a port, and the timeout of `fwknop -f SECONDS` is an upper
//! limit. A timeout of one second closes what the user has opened for that address; `nightlatch open`, run by the
//! person, sends such packets over both families and tries whether they had an effect. A genuine message that is
//! refused leaves a notice in the journal with the reason, one of a kind in ten minutes, and `nightlatch status`
//! counts them.
//!
//! **Secret user agent.** A SIP phone that sends it with its REGISTER over UDP, to a port of the service `sip`,
//! gets all services of its user: the first REGISTER is dropped and opens the address, the phone's own repetition
//! half a second later gets through. It is sent in clear text in each packet: anybody who captures one can use it
//! too. Over TCP or TLS it is not seen. It is random, unless `--agent-file` names a file with one: 12 to 128
//! characters, and not one that begins like those of real phones or scanners.
//!
//! A knock sequence can be read, and then used, by anybody on the way as well; SPA packets cannot: give a knock
//! sequence only to people whose programs support nothing better. `nightlatch lease anna 203.0.113.7 --for 2h`
//! opens an address by hand, without credentials.

mod card;
pub mod cli;
mod io;
mod keyring;
mod qr;
mod requests;
mod watch;
mod wording;

use nightlatch_core::features::users::{Job, Request, Users};

use super::worded::Works;
use crate::shell::background::Background;

impl Works for Users {
    fn complete(request: &mut Request) {
        if let Some(entropy) = request.entropy() {
            *entropy = io::entropy();
        }
    }

    fn run(job: Job, background: &Background) {
        background.keep(|| watch::Watch::begin(background.teller())).take(job);
    }
}
