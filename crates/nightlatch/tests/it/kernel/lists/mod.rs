//! Feeds and countries: real lists, fetched over real HTTP, held against real packets.

mod countries;
mod feeds;
mod full;
mod plan;
mod poison;
mod restart;
mod sources;
mod web;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use nightlatch_lab::packet::Packet;
use nightlatch_lab::stage::Host;

use super::ground::{Ears, Prober, TIMEOUT};
use crate::support::{Daemon, Installation, wait_until};

/// UDP, as the ears count it.
const UDP: u8 = 17;
/// The port at which strangers are served in mode open.
const SIP: u16 = 5060;

/// The program in mode open, with an account for the office, whose packets say when others have
/// arrived or never will.
fn open<'a>(server: &'a Host, office: &Host, configuration: &str) -> (Installation<'a>, Daemon) {
    let (nightlatch, daemon) = super::ground::protect(server, configuration);
    nightlatch.must(&["mode", "open"]);
    let (v4, v6) = (office.v4().to_string(), office.v6().to_string());
    nightlatch.must(&["allow", "office", &v4, &v6, "--services", "sip"]);
    (nightlatch, daemon)
}

/// Sends packets with any source addresses to the server, and tells whose came through.
struct Probes {
    prober: Prober,
    ears: Ears,
    server: [IpAddr; 2],
    marker: [IpAddr; 2],
}

impl Probes {
    fn from(attacker: &Host, server: &Host, office: &Host) -> Probes {
        Probes {
            prober: Prober::on(attacker),
            ears: Ears::on(server),
            server: [server.v4(), server.v6()],
            marker: [office.v4(), office.v6()],
        }
    }

    /// Of `sources`, those whose packets to the open service come through.
    fn passing(&self, sources: &[IpAddr]) -> BTreeSet<IpAddr> {
        self.passing_to(SIP, sources)
    }

    /// The same for any port.
    fn passing_to(&self, port: u16, sources: &[IpAddr]) -> BTreeSet<IpAddr> {
        let mut heard = BTreeSet::new();
        // Few at a time, so that the total of the rate limits is not reached.
        for some in sources.chunks(50) {
            self.ears.heard();
            some.iter().for_each(|source| self.send(*source, port));
            for marker in self.marker {
                wait_until("the marker comes through", TIMEOUT, || {
                    self.send(marker, SIP);
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    let new = self.ears.heard();
                    let came = new.iter().any(|h| h.from == marker && h.protocol == UDP);
                    heard.extend(new.iter().filter(|h| h.protocol == UDP).map(|h| h.from));
                    came
                });
            }
        }
        sources.iter().copied().filter(|source| heard.contains(source)).collect()
    }

    fn passes(&self, source: IpAddr) -> bool {
        self.passing(&[source]).contains(&source)
    }

    fn send(&self, source: IpAddr, port: u16) {
        let to = if source.is_ipv4() { self.server[0] } else { self.server[1] };
        let packet =
            Packet::udp(SocketAddr::new(source, 4000), SocketAddr::new(to, port), b"hello");
        self.prober.send(&packet);
    }
}

/// The addresses in text.
fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn set(texts: &[&str]) -> BTreeSet<IpAddr> {
    addresses(texts).into_iter().collect()
}

/// The feed of that name in `feed list --json`.
fn feed(nightlatch: &Installation<'_>, name: &str) -> serde_json::Value {
    let feeds = nightlatch.json(&["feed", "list"]);
    let feeds = feeds.as_array().unwrap();
    feeds.iter().find(|view| view["feed"]["name"] == name).unwrap().clone()
}
