//! The verdict on an address, in sentences.

use nightlatch_core::api::{PacketKind, Reaches, Why, reason_word};
use nightlatch_core::policy::{Reason, Verdict};
use nightlatch_core::posture::Mode;
use nightlatch_core::service::{Protocol, ServiceName};
use nightlatch_core::time::show_span;
use serde::Serialize;

use crate::features;
use crate::features::about::{About, Claim};
use crate::shell::screen;
use crate::wording::did;

/// The verdict for one kind of packet.
#[derive(Serialize)]
struct Packets {
    kind: PacketKind,
    passes: bool,
    reason: &'static str,
    sentence: String,
}

/// All that is said.
pub(super) fn about(why: &Why) -> About {
    let mut page = About::new(why.address, why.now);
    why.about.iter().for_each(|reply| features::about(reply, &mut page));
    if why.is_spared_by_lists {
        page.lists.clear();
        page.claims.retain(|(claim, _)| *claim != Claim::List);
    }
    page.lines.sort_by_key(|(number, _)| *number);
    let packets = packets(why, &page);
    let (sentence, reaches) = (sentence(why, &page), reaches(&why.reaches));
    let mut lines = vec![screen::printable(&sentence)];
    if why.to.is_none() {
        let reaches = if reaches.is_empty() { "nothing".to_owned() } else { reaches.join(", ") };
        lines.push(format!("reaches   {reaches}"));
    }
    // One line for each kind of packet if their verdicts differ.
    let differ = packets.iter().any(|packet| packet.passes != why.verdict.passes);
    for packet in packets.iter().filter(|_| differ) {
        lines.push(format!("packets   {}", screen::printable(&packet.sentence)));
    }
    let lines = lines.into_iter().map(|line| (0, line));
    page.lines.splice(0..0, lines);
    let lists = std::mem::take(&mut page.lists);
    page.field(10, "address", &why.address);
    page.field(20, "to", &why.to);
    page.field(30, "passes", &why.verdict.passes);
    page.field(40, "reason", reason_word(&why.verdict));
    page.field(50, "sentence", &sentence);
    page.field(60, "reaches", &reaches);
    page.field(90, "lists", &lists);
    page.field_unless_empty(100, "packets", &packets);
    page
}

/// The names of the services that the address reaches; `all` where nothing is closed to it.
fn reaches(reaches: &Reaches) -> Vec<&str> {
    match reaches {
        Reaches::All => vec!["all"],
        Reaches::Services(names) => names.iter().map(ServiceName::as_str).collect(),
    }
}

fn packets(why: &Why, page: &About) -> Vec<Packets> {
    let told = |(kind, verdict): &(PacketKind, Verdict)| {
        let several = match kind {
            PacketKind::Request => "requests",
            PacketKind::Registration => "registrations",
            PacketKind::Response => "responses",
        };
        Packets {
            kind: *kind,
            passes: verdict.passes,
            reason: reason_word(verdict),
            sentence: verdict_on(several, verdict, why, page),
        }
    };
    why.packets.iter().map(told).collect()
}

fn sentence(why: &Why, page: &About) -> String {
    let what = match (why.to, &why.verdict.reason) {
        (None, _) => "new connections".to_owned(),
        (Some(ports), Reason::Peer { .. }) if ports.protocol == Protocol::Udp => {
            format!("requests to {ports}, but not registrations, with source port {}", why.from)
        }
        (Some(ports), _) => format!("new packets to {ports}"),
    };
    verdict_on(&what, &why.verdict, why, page)
}

/// A verdict on packets of an address that are called `what`.
fn verdict_on(what: &str, verdict: &Verdict, why: &Why, page: &About) -> String {
    let words = words(verdict, why, page);
    let address = why.address;
    match verdict.reason {
        Reason::Off => format!("everything is accepted: {words}"),
        Reason::OpenService { limited: true, .. } => {
            format!("{what} from {address} are accepted, under the rate limits: {words}")
        }
        Reason::Blocked { .. } | Reason::Banned { .. } => {
            format!("{what} from {address} are dropped: {words}")
        }
        Reason::Denied { .. } => {
            format!("{what} from {address} are dropped, and nothing is sent there either: {words}")
        }
        Reason::Listed | Reason::Stranger => {
            format!("{what} from {address} are dropped without an answer: {words}")
        }
        _ => format!("{what} from {address} are accepted: {words}"),
    }
}

/// Why packets pass or not.
fn words(verdict: &Verdict, why: &Why, page: &About) -> String {
    match &verdict.reason {
        Reason::Off => "the firewall is off (\"nightlatch up\" turns it on)".to_owned(),
        Reason::Blocked { range } => page.told(&Claim::Block(*range)),
        Reason::Banned { range, .. } => page.told(&Claim::Ban(*range)),
        Reason::Denied { range } => page.told(&Claim::Deny(*range)),
        Reason::Account { names } => {
            let told = names.iter().map(|name| page.told(&Claim::Allow(name.clone())));
            told.collect::<Vec<String>>().join("; ")
        }
        Reason::OpenService { service, .. } => {
            format!("in mode open, {service} is open to strangers")
        }
        Reason::Peer { by, seen } => {
            format!("{}, most recently {} ago", did(*by), show_span(why.now.since(*seen)))
        }
        Reason::Media => "media are accepted from everybody (media = \"any\")".to_owned(),
        Reason::Listed => {
            // In mode allowlist they would be dropped without any list.
            let also = match why.mode {
                Mode::Open => "",
                Mode::Allowlist => {
                    "no account covers them, and they would be dropped in mode open too: "
                }
            };
            format!("{also}{}", page.told(&Claim::List))
        }
        Reason::Stranger => match (page.told(&Claim::AllowOnly), why.mode) {
            (told, Mode::Open) if told.is_empty() => {
                "no account covers them, and strangers may not use this service".to_owned()
            }
            (told, Mode::Allowlist) if told.is_empty() => "no account covers them".to_owned(),
            (told, _) => told,
        },
        Reason::Loopback => "the machine itself is never blocked".to_owned(),
        Reason::Answer => "they are replies to requests of this host".to_owned(),
        Reason::Running => "they belong to a connection that was accepted before".to_owned(),
        Reason::Essential => "IPv4 and IPv6 cannot work without them".to_owned(),
        Reason::NotForThisHost => "they are not addressed to this host".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use nightlatch_core::AddrRange;
    use nightlatch_core::time::Time;

    use super::*;

    const ADDRESS: &str = "192.0.2.7";

    fn why(reason: Reason) -> Why {
        Why {
            address: ADDRESS.parse().unwrap(),
            to: None,
            verdict: Verdict { passes: false, reason },
            from: 0,
            mode: Mode::Open,
            reaches: Reaches::Services(Vec::new()),
            packets: Vec::new(),
            about: Vec::new(),
            is_spared_by_lists: false,
            now: Time::from_millis(1_000_000),
        }
    }

    fn check(why: &Why, mut add: impl FnMut(&mut About), sentence: &str) {
        let mut about = About::new(why.address, why.now);
        add(&mut about);
        assert_eq!(super::sentence(why, &about), sentence);
    }

    #[test]
    fn a_claim_explains_the_verdict_that_follows_from_it() {
        let range = |text: &str| text.parse::<AddrRange>().unwrap();
        let claims = |about: &mut About| {
            about.because(Claim::Block(range("192.0.2.0/24")), "the wide one".to_owned());
            about.because(Claim::Block(range(ADDRESS)), "the narrow one".to_owned());
            about.because(Claim::Deny(range(ADDRESS)), "a phone is gone".to_owned());
            about.list(&"one", "one names it".to_owned());
            about.list(&"two", "two names it".to_owned());
        };
        let blocked = Reason::Blocked { range: range(ADDRESS) };
        let dropped = "new connections from 192.0.2.7 are dropped";
        check(&why(blocked), claims, &format!("{dropped}: the narrow one"));
        let denied = Reason::Denied { range: range(ADDRESS) };
        let sent = "and nothing is sent there either: a phone is gone";
        check(&why(denied), claims, &format!("{dropped}, {sent}"));
        let lists = format!("{dropped} without an answer: one names it; two names it");
        check(&why(Reason::Listed), claims, &lists);
        let stranger = "no account covers them, and strangers may not use this service";
        let stranger = format!("{dropped} without an answer: {stranger}");
        check(&why(Reason::Stranger), claims, &stranger);
    }

    #[test]
    fn lists_that_do_not_count_are_not_shown() {
        for (is_spared_by_lists, shown) in [(false, 1), (true, 0)] {
            let held = serde_json::json!({ "feeds": { "held": [
                { "name": "bad", "entry": "192.0.2.0/24", "fetched": null }
            ] } });
            let about = vec![serde_json::from_value(held).unwrap()];
            let why = Why { about, is_spared_by_lists, ..why(Reason::Stranger) };
            let json = serde_json::to_value(super::about(&why).fields).unwrap();
            assert_eq!(json["lists"].as_array().unwrap().len(), shown, "{json}");
        }
    }
}
