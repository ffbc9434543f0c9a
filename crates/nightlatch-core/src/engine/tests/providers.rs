//! Providers: what is allowed, to whom, how it ends, and what names and new catalogues change.
//!
//! The addresses are those of the catalogue.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::*;
use crate::entry::HostName;
use crate::features::providers::{
    self, Enabled, Notice, Provider, ProviderName, Refusal, Reply as Said, Status, catalogue,
};
use crate::features::{Fact, Feature as _, View};
use crate::policy::Reason;

fn name(text: &str) -> ProviderName {
    text.parse().unwrap()
}

fn known(text: &str) -> &'static Provider {
    catalogue::find(&name(text)).unwrap()
}

fn enable(text: &str) -> Request {
    Request::of(providers::Request::Enable { name: name(text) })
}

fn disable(text: &str) -> Request {
    Request::of(providers::Request::Disable { name: name(text) })
}

fn enabled(desk: &Desk, text: &str) -> Option<Enabled> {
    desk.engine.state().providers.all.get(&name(text)).cloned()
}

/// Whether packets of an address pass to ports of telephony and of others.
fn reaches(desk: &mut Desk, address: &str) -> String {
    let ports =
        [("sip", "udp/5060"), ("tls", "tcp/5061"), ("iax", "udp/4569"), ("rtp", "udp/10000")];
    let others = [("ssh", "tcp/22"), ("web", "tcp/443"), ("web", "tcp/80"), ("other", "udp/9999")];
    let all = ports.into_iter().chain(others);
    let passing = all.filter(|(_, port)| desk.why(address, Some(port)).verdict.passes);
    passing.map(|(name, _)| name).collect::<Vec<&str>>().join(" ")
}

#[test]
fn signalling_and_media_are_told_apart() {
    let mut desk = Desk::on();
    assert_eq!(reaches(&mut desk, "54.172.60.1"), "");
    let done = desk.done(enable("twilio"));
    let record = enabled(&desk, "twilio").unwrap();
    assert_eq!(done, changed([Said::Enabled(record.clone()).into()]));
    assert_eq!((record.by.as_str(), record.since), ("anna", START));
    assert_eq!(reaches(&mut desk, "54.172.60.1"), "sip tls rtp");
    assert_eq!(reaches(&mut desk, "168.86.128.7"), "rtp");
    assert_eq!(reaches(&mut desk, "54.172.60.4"), "", "one beyond the network");
    assert_eq!(reaches(&mut desk, "168.86.192.0"), "", "one beyond the media");
    let Reason::Account { names } = desk.why("54.172.60.1", Some("udp/5060")).verdict.reason else {
        panic!("allowed for another reason");
    };
    assert_eq!(names, ["twilio"]);
    assert_eq!(desk.log(), ["anna: provider-enable twilio"]);
    // A restart finds the same.
    let mut again = Desk::new(desk.stored(Desk::on().engine.state()));
    again.feed(Event::Started);
    assert_eq!(reaches(&mut again, "168.86.128.7"), "rtp");
    assert_eq!(again.records, []);
}

#[test]
fn media_in_the_same_network_have_both() {
    let mut desk = Desk::on();
    desk.done(enable("sipgate").forced(true));
    assert_eq!(reaches(&mut desk, "217.10.68.150"), "sip tls rtp");
    assert_eq!(reaches(&mut desk, "217.10.64.1"), "rtp");
}

#[test]
fn an_account_and_a_provider_add_up() {
    let mut desk = Desk::on();
    desk.done(enable("twilio"));
    desk.done(allow("twilio 54.172.60.1 ssh"));
    assert_eq!(reaches(&mut desk, "54.172.60.1"), "sip tls rtp ssh");
    desk.done(remove("twilio"));
    assert_eq!(reaches(&mut desk, "54.172.60.1"), "sip tls rtp");
    desk.done(allow("twilio 54.172.60.1 ssh"));
    desk.done(disable("twilio"));
    assert_eq!(reaches(&mut desk, "54.172.60.1"), "ssh");
    assert_eq!(reaches(&mut desk, "54.172.60.2"), "");
}

#[test]
fn disabling_ends_its_connections() {
    let mut desk = Desk::on();
    desk.done(enable("twilio"));
    let record = enabled(&desk, "twilio").unwrap();
    assert_eq!(desk.cuts, []);
    let done = desk.done(disable("twilio"));
    assert_eq!(done, changed([Said::Disabled(record.clone()).into()]));
    let ranges: Vec<AddrRange> = record.ranges().into_iter().collect();
    assert_eq!(desk.cuts.len(), 1);
    let Flows::Of(cut) = &desk.cuts[0] else { panic!("{:?}", desk.cuts) };
    assert!(ranges.iter().all(|range| cut.contains(range)), "{cut:?}");
    assert_eq!(reaches(&mut desk, "54.172.60.1"), "");
    assert_eq!(reaches(&mut desk, "168.86.128.7"), "");
    // A PBX that keeps sending there does not open it again: the ranges are denied for a time.
    let denied: Vec<AddrRange> = desk.engine.state().denials.all.keys().copied().collect();
    assert_eq!(denied.len(), ranges.len(), "{denied:?}");
    // Enabled again, nothing is denied.
    desk.done(enable("twilio"));
    assert!(desk.engine.state().denials.all.is_empty());
    assert_eq!(reaches(&mut desk, "54.172.60.1"), "sip tls rtp");
}

#[test]
fn what_cannot_be_enabled() {
    let mut desk = Desk::on();
    let no = RefusalKind::No;
    let unknown = Refusal::Unknown { name: name("twillio"), near: vec![name("twilio")] };
    assert_eq!(desk.refused(no, enable("twillio")), because(unknown.clone()));
    assert_eq!(desk.refused(no, disable("twillio")), because(unknown));
    let unverified = Refusal::Unverified(Box::new(known("callcentric").clone()));
    assert_eq!(desk.refused(no, enable("callcentric")), because(unverified));
    for defunct in ["ipkall", "google-voice-xmpp"] {
        let refusal = Refusal::Defunct(Box::new(known(defunct).clone()));
        assert_eq!(desk.refused(no, enable(defunct)), because(refusal.clone()));
        assert_eq!(desk.refused(no, enable(defunct).forced(true)), because(refusal));
    }
    let gamma = Refusal::NoAddress(Box::new(known("gamma").clone()));
    assert_eq!(desk.refused(no, enable("gamma").forced(true)), because(gamma));
    let off = Refusal::NotEnabled { name: name("twilio") };
    assert_eq!(desk.refused(no, disable("twilio")), because(off));
    desk.done(enable("twilio"));
    let twice = Refusal::EnabledAlready { name: name("twilio") };
    assert_eq!(desk.refused(no, enable("twilio")), because(twice));
    desk.done(enable("callcentric").forced(true));
    assert_eq!(reaches(&mut desk, "204.11.192.20"), "sip tls rtp");
}

#[test]
fn nothing_is_enabled_by_default() {
    let mut desk = Desk::on();
    desk.feed(Event::Started);
    assert!(desk.engine.state().providers.all.is_empty());
    let said = desk.done(Request::of(providers::Request::List)).said;
    let [features::Reply::Providers(Said::All(all))] = said.as_slice() else { panic!("{said:?}") };
    assert!(all.iter().all(|it| it.enabled.is_none()) && all.len() == catalogue::all().len());
}

#[test]
fn a_block_decides_over_a_provider() {
    let mut desk = Desk::on();
    desk.done(enable("twilio"));
    // Wider than the provider's network, and within it.
    let wide = desk.done(block("54.172.0.0/16"));
    let stays = Said::StaysOpen { name: name("twilio") }.into();
    assert!(wide.said.contains(&stays), "{wide:?}");
    assert_eq!(reaches(&mut desk, "54.172.60.1"), "sip tls rtp");
    let narrow = desk.done(block("54.172.60.1"));
    let shut = Said::ShutOut { name: name("twilio") }.into();
    assert!(narrow.said.contains(&shut), "{narrow:?}");
    // It is nobody's account.
    let of_account = |it: &features::Reply| matches!(it, features::Reply::Accounts(_));
    assert!(!narrow.said.iter().chain(&wide.said).any(of_account), "{narrow:?} {wide:?}");
    assert_eq!(reaches(&mut desk, "54.172.60.1"), "");
    assert_eq!(reaches(&mut desk, "54.172.60.2"), "sip tls rtp");
}

/// What the feature proposes when a name has other addresses.
fn resolved(desk: &Desk, host: &str, addresses: &[&str]) -> features::Plan<providers::Providers> {
    let host: HostName = host.parse().unwrap();
    let addresses: Vec<IpAddr> = addresses.iter().map(|it| it.parse().unwrap()).collect();
    with_view(desk, |view| {
        let fact = Fact::Resolved { name: host, addresses };
        desk.engine.state().providers.follow(&fact, view)
    })
}

fn with_view<T>(desk: &Desk, look: impl FnOnce(&View<'_>) -> T) -> T {
    look(&desk.engine.view(&desk.caller, false, desk.now))
}

/// Makes the changes of a plan.
fn adopt(desk: &mut Desk, plan: &features::Plan<providers::Providers>) {
    let mut state = desk.engine.state().clone();
    for step in &plan.changes {
        let _ = state.apply(step.put.clone().into());
    }
    *desk = Desk { now: desk.now, ..Desk::new(state) };
    let load = desk.engine.load_whole(desk.now);
    desk.execute(vec![load]);
}

#[test]
fn names_have_the_addresses_that_are_found() {
    let mut desk = Desk::on();
    desk.done(enable("easybell"));
    let record = enabled(&desk, "easybell").unwrap();
    assert_eq!(record.without_address().count(), 4);
    assert_eq!(reaches(&mut desk, "203.0.113.7"), "");
    assert!(resolved(&desk, "www.example.net", &["203.0.113.7"]).changes.is_empty());

    let plan = resolved(&desk, "sip.easybell.de", &["203.0.113.7", "203.0.113.8"]);
    let services = known("easybell").grant();
    let ranges = vec![range("203.0.113.7"), range("203.0.113.8")];
    let allowed = Fact::Allowed { name: "providers/easybell".to_owned(), services, ranges };
    assert_eq!(plan.effects.facts, [allowed]);
    assert_eq!(plan.effects.cut, None);
    adopt(&mut desk, &plan);
    assert_eq!(reaches(&mut desk, "203.0.113.7"), "sip tls rtp");
    assert_eq!(enabled(&desk, "easybell").unwrap().without_address().count(), 3);
    assert!(resolved(&desk, "sip.easybell.de", &["203.0.113.7", "203.0.113.8"]).changes.is_empty());

    // Another name has one of them too, so only the other ends.
    let plan = resolved(&desk, "voip.easybell.de", &["203.0.113.7"]);
    assert_eq!(plan.effects.facts, []);
    adopt(&mut desk, &plan);
    let plan = resolved(&desk, "sip.easybell.de", &[]);
    let ranges = vec![range("203.0.113.8")];
    let name = "providers/easybell".to_owned();
    assert_eq!(plan.effects.facts, [Fact::Replaced { name, ranges: ranges.clone() }]);
    assert_eq!(plan.effects.cut, Some(Flows::Of(ranges)));
    adopt(&mut desk, &plan);
    assert_eq!(reaches(&mut desk, "203.0.113.7"), "sip tls rtp");
    assert_eq!(reaches(&mut desk, "203.0.113.8"), "");
}

/// What the feature proposes at the start.
fn at_the_start(desk: &Desk) -> features::Plan<providers::Providers> {
    with_view(desk, |view| desk.engine.state().providers.started(view))
}

#[test]
fn names_are_told_to_whoever_looks_them_up() {
    let mut desk = Desk::on();
    desk.done(enable("easybell"));
    let hosts = known("easybell").hosts.iter().cloned();
    let names: BTreeMap<HostName, Vec<IpAddr>> = hosts.map(|name| (name, Vec::new())).collect();
    let of = "providers/easybell".to_owned();
    let told = Fact::HostNames { of: of.clone(), names, private: false };
    // At each start, because another version may have other names.
    let plan = at_the_start(&desk);
    assert_eq!(plan.effects.facts, [told]);
    assert!(plan.changes.is_empty() && plan.notices.is_empty());
    let name = name("easybell");
    let plan = with_view(&desk, |view| {
        desk.engine.state().providers.asked(providers::Request::Disable { name }, view).unwrap()
    });
    let none = Fact::HostNames { of, names: BTreeMap::new(), private: false };
    assert!(plan.effects.facts.contains(&none), "{:?}", plan.effects.facts);
}

/// A desk with a provider as another version of the program enabled it.
fn of_another_version(text: &str, change: impl FnOnce(&mut Enabled)) -> Desk {
    let mut desk = Desk::on();
    desk.done(enable(text).forced(true));
    let mut record = enabled(&desk, text).unwrap();
    change(&mut record);
    let mut state = desk.engine.state().clone();
    let _ = state.apply(providers::put(record));
    Desk::new(state)
}

#[test]
fn a_new_catalogue_is_followed_at_the_start() {
    let mut desk = of_another_version("twilio", |record| {
        record.signalling.pop();
        record.signalling.push(Entry::Range(range("203.0.113.0/24")));
        record.media = vec![range("198.51.100.0/24")];
    });
    assert_eq!(reaches(&mut desk, "203.0.113.7"), "sip tls rtp");
    desk.feed(Event::Started);
    assert_eq!(reaches(&mut desk, "203.0.113.7"), "");
    assert_eq!(reaches(&mut desk, "198.51.100.7"), "");
    assert_eq!(reaches(&mut desk, "177.71.206.193"), "sip tls rtp");
    assert_eq!(reaches(&mut desk, "168.86.128.7"), "rtp");
    assert_eq!(desk.log(), ["nightlatch: provider-follow twilio"]);
    assert!(desk.told.contains(&notice(Notice::Changed { name: name("twilio") })));
    let cut: Vec<&AddrRange> = desk
        .cuts
        .iter()
        .flat_map(|cut| match cut {
            Flows::Of(ranges) => ranges.as_slice(),
            Flows::BegunByPeers => &[],
        })
        .collect();
    assert!(cut.contains(&&range("203.0.113.0/24")), "{cut:?}");
    // It is followed once.
    let mut again = Desk::new(desk.stored(desk.engine.state()));
    again.feed(Event::Started);
    assert_eq!(again.records, []);
}

#[test]
fn a_network_that_becomes_one_of_media_loses_its_signalling() {
    let desk = of_another_version("twilio", |record| {
        let media = record.media.clone();
        record.signalling.extend(media.into_iter().map(Entry::Range));
    });
    let plan = at_the_start(&desk);
    let media = known("twilio").media.clone();
    assert_eq!(plan.effects.cut, Some(Flows::Of(media)));
    assert_eq!(plan.effects.facts, [], "it stays allowed for media");
}

#[test]
fn names_that_stay_keep_their_addresses() {
    let mut desk = of_another_version("easybell", |record| {
        record.signalling = vec![
            Entry::Host {
                name: "sip.easybell.de".parse().unwrap(),
                addresses: vec!["203.0.113.7".parse().unwrap()],
            },
            Entry::Host {
                name: "old.easybell.de".parse().unwrap(),
                addresses: vec!["203.0.113.8".parse().unwrap()],
            },
        ];
    });
    desk.feed(Event::Started);
    assert_eq!(reaches(&mut desk, "203.0.113.7"), "sip tls rtp");
    assert_eq!(reaches(&mut desk, "203.0.113.8"), "");
    let names: Vec<HostName> = enabled(&desk, "easybell").unwrap().names().cloned().collect();
    assert_eq!(names, known("easybell").hosts);
}

#[test]
fn a_provider_that_is_gone_is_disabled_at_the_start() {
    assert_eq!(known("ipkall").status, Status::Defunct);
    let mut desk = Desk::on();
    desk.done(enable("twilio"));
    let mut record = enabled(&desk, "twilio").unwrap();
    record.name = name("ipkall");
    let mut state = Desk::on().engine.state().clone();
    let _ = state.apply(providers::put(record.clone()));
    // One that the catalogue does not have stays as it is.
    record.name = name("another");
    record.signalling = vec![Entry::Range(range("203.0.113.0/24"))];
    record.media = Vec::new();
    let _ = state.apply(providers::put(record));
    let mut desk = Desk::new(state);
    assert_eq!(reaches(&mut desk, "54.172.60.1"), "sip tls rtp");
    desk.feed(Event::Started);
    assert_eq!(reaches(&mut desk, "54.172.60.1"), "");
    assert_eq!(reaches(&mut desk, "203.0.113.7"), "sip tls rtp");
    assert_eq!(desk.log(), ["nightlatch: provider-follow ipkall"]);
    let since = known("ipkall").date.clone();
    assert!(desk.told.contains(&notice(Notice::Gone { name: name("ipkall"), since })));
    let said = desk.done(Request::of(providers::Request::Show { name: name("another") })).said;
    let [features::Reply::Providers(Said::One(shown))] = said.as_slice() else {
        panic!("{said:?}")
    };
    assert!(shown.provider.is_none() && shown.enabled.is_some(), "{shown:?}");
}

#[test]
fn what_is_said_of_it() {
    let mut desk = Desk::on();
    desk.done(enable("easybell"));
    desk.done(enable("twilio"));
    let report = desk.status().reports.into_iter().find_map(|reply| match reply {
        features::Reply::Providers(Said::Report { count }) => Some(count),
        _ => None,
    });
    assert_eq!(report, Some(2));
    let held = |desk: &mut Desk, address: &str| {
        let about = desk.why(address, None).about;
        let held = about.into_iter().find_map(|reply| match reply {
            features::Reply::Providers(Said::Held(held)) => Some(held),
            _ => None,
        });
        let line = |it: &providers::Held| format!("{} {} {}", it.name, it.range, it.services);
        held.unwrap().iter().map(line).collect::<Vec<String>>()
    };
    assert_eq!(held(&mut desk, "54.172.60.1"), ["twilio 54.172.60.0/30 sip, sip-tls"]);
    assert_eq!(held(&mut desk, "168.86.128.1"), ["twilio 168.86.128.0/18 rtp"]);
    assert!(held(&mut desk, "203.0.113.7").is_empty());
}
