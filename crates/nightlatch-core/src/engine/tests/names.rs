//! Host names: what each answer of a name server changes, and when.

mod ends;
mod load;
mod users;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::*;
use crate::features::accounts::HostOptions;
use crate::features::exemptions;
use crate::features::names::{self, Answered, Found, HostName};
use crate::posture::OWN_ADDRESS;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
/// The default overlap.
const OVERLAP: u64 = 120;

/// A desk, and the name servers that it asks.
struct Names {
    desk: Desk,
    /// What they answer from now on, for IPv4 and IPv6.
    answers: BTreeMap<HostName, (Found, Found)>,
    /// When which name was asked for.
    asked: Vec<(Time, HostName)>,
}

impl Names {
    fn new() -> Names {
        let own = |text: &str| (range(text), OWN_ADDRESS.to_owned());
        let guarded = vec![own("198.51.100.1")];
        let mut desk = Desk::new(State::with_posture(Posture {
            protection: Protection::On { since: START },
            site: Site { guarded, ..Site::default() },
            ..Posture::default()
        }));
        let load = desk.engine.load_whole(START);
        desk.execute(vec![load]);
        Names { desk, answers: BTreeMap::new(), asked: Vec::new() }
    }

    /// Names with this account, after its first answer.
    fn with(addresses: &str) -> Names {
        let mut names = Names::new();
        names.answer(addresses);
        names.allow("office", "office.example.net", HostOptions::default());
        names.wait(1);
        names
    }

    /// `office.example.net` has these addresses for a minute from now on.
    fn answer(&mut self, addresses: &str) {
        self.answer_for("office.example.net", found(addresses, 60));
    }

    fn answer_for(&mut self, name: &str, answer: (Found, Found)) {
        self.answers.insert(name.parse().unwrap(), answer);
    }

    fn allow(&mut self, account: &str, hosts: &str, options: HostOptions) -> Done {
        let entries = hosts
            .split(',')
            .map(|name| Entry::Host { name: name.parse().unwrap(), addresses: Vec::new() });
        let new = NewAccount {
            entries: entries.collect(),
            hosts: options,
            ..super::account(&format!("{account} 192.0.2.1 all"))
        };
        self.desk.done(Request::of(accounts::Request::Allow(new)))
    }

    /// Lets time pass, and answers what is asked.
    fn wait(&mut self, seconds: u64) {
        let end = self.desk.now.after(Duration::from_secs(seconds));
        loop {
            let next = self.desk.engine.next_deadline().filter(|next| *next <= end);
            let Some(next) = next else { break };
            self.desk.now = self.desk.now.max(next);
            self.desk.wait(0);
            self.look_up();
        }
        self.desk.now = end;
    }

    /// The clock is set forward, and the daemon notices.
    fn jump(&mut self, seconds: u64) {
        self.desk.now = self.desk.now.after(Duration::from_secs(seconds));
        self.wait(0);
    }

    fn look_up(&mut self) {
        for job in std::mem::take(&mut self.desk.jobs) {
            let Job::Names(names::Job::LookUp(all)) = job else { continue };
            let silent = || Found::Failed(names::Failure::Silent);
            let mut answers = Vec::new();
            for name in all {
                self.asked.push((self.desk.now, name.clone()));
                let answer = self.answers.get(&name).cloned();
                let (v4, v6) = answer.unwrap_or_else(|| (silent(), silent()));
                answers.push(Answered { name, v4, v6 });
            }
            self.desk.feed(Event::Feature(names::Event::Room.into()));
            self.desk.feed(Event::Feature(names::Event::Answered(answers).into()));
        }
    }

    /// Whether signalling from an address is accepted.
    fn is_open(&mut self, address: &str) -> bool {
        self.desk.why(address, Some("udp/5060")).verdict.passes
    }

    /// The addresses that count for `office.example.net`.
    fn addresses(&self) -> String {
        self.addresses_of("office.example.net")
    }

    fn addresses_of(&self, name: &str) -> String {
        let name = self.record(name);
        let all: Vec<String> = name.addresses.iter().map(ToString::to_string).collect();
        all.join(",")
    }

    fn record(&self, name: &str) -> names::Name {
        self.desk.engine.state().names.all[&name.parse::<HostName>().unwrap()].clone()
    }

    /// The kinds of notices so far.
    fn notices(&self) -> Vec<&'static str> {
        let topics = self.desk.told.iter().filter_map(Told::topic);
        topics.map(|(_, topic)| topic.kind).collect()
    }

    /// The daemon is killed and started again, later.
    fn restart(self, seconds: u64) -> Names {
        let before = Names::new().desk.engine.state().clone();
        let state = self.desk.stored(&before);
        let mut desk = Desk::new(state);
        desk.now = self.desk.now.after(Duration::from_secs(seconds));
        desk.feed(Event::Started);
        Names { desk, answers: self.answers, asked: Vec::new() }
    }
}

/// An answer with these addresses, both families together; none of a family is an empty answer.
fn found(addresses: &str, seconds: u64) -> (Found, Found) {
    let all: Vec<IpAddr> =
        addresses.split(',').filter(|it| !it.is_empty()).map(|it| it.parse().unwrap()).collect();
    let half = |is_v4: bool| {
        let addresses: Vec<IpAddr> =
            all.iter().copied().filter(|address| address.is_ipv4() == is_v4).collect();
        let lifetime = Duration::from_secs(seconds);
        match addresses.is_empty() {
            true => Found::Nothing,
            false => Found::Addresses { addresses, lifetime, is_partial: false },
        }
    };
    (half(true), half(false))
}

#[test]
fn a_name_opens_as_soon_as_it_is_answered() {
    let mut names = Names::new();
    names.answer("203.0.113.20,2001:db8::20");
    names.allow("office", "office.example.net", HostOptions::default());
    assert!(!names.is_open("203.0.113.20"));
    names.wait(0);
    assert!(names.is_open("203.0.113.20"));
    assert!(names.is_open("2001:db8::20"));
    assert_eq!(names.desk.log(), ["anna: allow office", "nightlatch: resolve office"]);
    // Who uses a name that is in use already, gets what is known of it at once.
    names.allow("other", "office.example.net", HostOptions::default());
    let other = &names.desk.engine.state().accounts.all.get(&"other".parse().unwrap()).unwrap();
    assert_eq!(other.ranges().count(), 2);
    assert_eq!(names.desk.log().len(), 4);
    names.desk.done(remove("office"));
    assert!(names.is_open("203.0.113.20"));
    names.desk.done(remove("other"));
    assert!(!names.is_open("203.0.113.20"));
    assert!(names.desk.engine.state().names.all.is_empty());
    // What is left is the end of the denials.
    assert!(names.desk.engine.next_deadline().unwrap() > START.after(Duration::from_secs(DAY)));
}

#[test]
fn a_name_is_asked_for_again_when_the_answer_is_no_longer_valid() {
    for (lifetime, least, most) in [(0, 30, 34), (60, 60, 67), (86_400, 600, 661)] {
        let mut names = Names::new();
        names.answer_for("office.example.net", found("203.0.113.20", lifetime));
        names.allow("office", "office.example.net", HostOptions::default());
        names.wait(10 * HOUR);
        let times: Vec<u64> =
            names.asked.windows(2).map(|pair| pair[1].0.since(pair[0].0).as_secs()).collect();
        assert!(times.iter().all(|it| (least..=most).contains(it)), "{lifetime}: {times:?}");
        assert!(times.len() > 50);
        // What every answer says again is not written down.
        assert_eq!(names.desk.changes.len(), 4, "the account and the name, both twice");
    }
}

#[test]
fn a_replaced_address_counts_for_the_overlap() {
    let mut names = Names::with("203.0.113.20");
    names.answer("203.0.113.30");
    names.desk.cuts.clear();
    names.wait(67);
    assert!(names.is_open("203.0.113.20") && names.is_open("203.0.113.30"));
    assert!(names.desk.cuts.is_empty());
    let changed = names.record("office.example.net").changed.unwrap();
    let left = changed.after(Duration::from_secs(OVERLAP)).since(names.desk.now).as_secs();
    names.wait(left);
    assert!(names.is_open("203.0.113.20"));
    names.wait(1);
    assert!(!names.is_open("203.0.113.20") && names.is_open("203.0.113.30"));
    assert_eq!(names.desk.cuts, [Flows::Of(vec![range("203.0.113.20")])]);
    assert_eq!(names.desk.log()[2..], ["nightlatch: resolve office", "nightlatch: resolve office"]);
    // The PBX may still send there, so the replaced address is denied, as that of a removed account is.
    assert!(names.desk.engine.state().denials.all.contains_key(&range("203.0.113.20")));
    // And no longer when it comes back.
    names.answer("203.0.113.20");
    names.wait(67);
    assert!(names.is_open("203.0.113.20"));
}

#[test]
fn a_family_that_is_no_longer_named_counts_for_the_overlap() {
    let mut names = Names::with("203.0.113.20,2001:db8::20");
    names.answer("203.0.113.20");
    names.wait(67);
    assert!(names.is_open("2001:db8::20"));
    names.wait(OVERLAP);
    assert!(!names.is_open("2001:db8::20") && names.is_open("203.0.113.20"));
}

#[test]
fn addresses_of_which_an_answer_shows_one_all_stay() {
    let mut names = Names::with("203.0.113.20");
    let all = ["203.0.113.20", "203.0.113.30", "203.0.113.40"];
    // Each is missing in four answers out of six.
    for turn in 0..200 {
        names.answer(all[turn / 2 % 3]);
        names.wait(64);
    }
    assert_eq!(names.addresses(), all.join(","));
    let changes = names.desk.log().len();
    for turn in 0..200 {
        names.answer(all[turn / 2 % 3]);
        names.wait(64);
        assert!(all.iter().all(|address| names.is_open(address)), "{turn}");
    }
    assert_eq!(names.desk.log().len(), changes);
    // What is really gone ends.
    names.answer("203.0.113.30");
    names.wait(40 * MINUTE);
    assert_eq!(names.addresses(), "203.0.113.30");
    // And then a change is one again: the overlap counts.
    names.wait(2 * HOUR);
    names.answer("203.0.113.50");
    names.wait(4 * MINUTE);
    assert_eq!(names.addresses(), "203.0.113.50");
}

#[test]
fn without_services_a_name_opens_telephony_only() {
    let mut names = Names::new();
    let options = HostOptions { services_unnamed: true, ..HostOptions::default() };
    let done = names.allow("office", "office.example.net", options);
    let told = accounts::Reply::TelephonyOnly { name: "office".parse().unwrap() };
    assert!(done.said.contains(&told.into()), "{done:?}");
    let account = names.desk.engine.state().accounts.all.get(&"office".parse().unwrap()).unwrap();
    assert_eq!(account.services, Grant::parse("sip,sip-tls,iax,rtp").unwrap());
    // An account of addresses alone is not concerned.
    let plain = NewAccount { hosts: options, ..account_of_range() };
    names.desk.done(Request::of(accounts::Request::Allow(plain)));
    let plain = names.desk.engine.state().accounts.all.get(&"plain".parse().unwrap()).unwrap();
    assert_eq!(plain.services, Grant::All);
}

fn account_of_range() -> NewAccount {
    super::account("plain 203.0.113.7 all")
}

#[test]
fn private_addresses_count_only_for_whoever_accepts_them() {
    let mut names = Names::new();
    names.answer("10.0.0.7");
    names.allow("strict", "office.example.net", HostOptions::default());
    names.wait(1);
    assert!(!names.is_open("10.0.0.7"));
    assert_eq!(names.notices(), ["name-refused"]);
    let options = HostOptions { allow_private: true, ..HostOptions::default() };
    names.allow("split", "office.example.net", options);
    names.wait(1);
    assert!(names.is_open("10.0.0.7"));
    let ranges = |names: &Names, account: &str| {
        names
            .desk
            .engine
            .state()
            .accounts
            .all
            .get(&account.parse().unwrap())
            .unwrap()
            .ranges()
            .count()
    };
    assert_eq!((ranges(&names, "strict"), ranges(&names, "split")), (0, 1));
    // Neither do providers and exemptions of the same name.
    let host = Entry::Host { name: "office.example.net".parse().unwrap(), addresses: Vec::new() };
    let name = "monitor".parse().unwrap();
    let exempt = exemptions::Request::Add { name, entries: vec![host] };
    names.desk.done(Request::of(exempt));
    names.wait(120);
    let exempt = names.desk.engine.state().exemptions.all.values().next().unwrap();
    assert_eq!(exempt.ranges().count(), 0);
    names.desk.done(remove("split"));
    assert!(!names.is_open("10.0.0.7"));
}

#[test]
fn answers_that_make_no_sense_change_nothing() {
    let mut names = Names::with("203.0.113.20");
    for senseless in [
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.5",
        "169.254.1.1",
        "255.255.255.255",
        "198.51.100.1",
        "192.168.1.1",
        "::1",
        "::",
        "fe80::1",
        "ff02::1",
        "fd00::1",
        "::ffff:203.0.113.9",
    ] {
        names.answer(senseless);
        names.wait(6 * MINUTE);
        assert_eq!(names.addresses(), "203.0.113.20", "{senseless}");
        let refused = names.record("office.example.net").refused;
        assert_eq!(refused[0].address, senseless.parse::<IpAddr>().unwrap());
    }
    assert!(names.notices().iter().all(|kind| *kind == "name-refused"));
    assert_eq!(names.notices().len(), 13);
    // What makes sense of an answer counts.
    names.answer("203.0.113.20,127.0.0.1");
    names.wait(6 * MINUTE);
    assert_eq!(names.addresses(), "203.0.113.20");
    let many: Vec<String> = (0..65).map(|last| format!("192.0.2.{last}")).collect();
    names.answer(&many.join(","));
    names.wait(6 * MINUTE);
    assert_eq!(names.addresses(), "203.0.113.20");
    assert!(names.record("office.example.net").fails().is_some());
    names.answer(&many[1..].join(","));
    names.wait(10 * MINUTE);
    assert_eq!(names.record("office.example.net").addresses.len(), 64);
}

#[test]
fn a_name_that_changes_often_is_reported_once_a_day() {
    let mut names = Names::with("203.0.113.1");
    let change = |names: &mut Names, at: usize| {
        names.answer(&format!("203.0.113.{}", 1 + at));
        names.wait(HOUR);
    };
    (1..=20).for_each(|at| change(&mut names, at));
    assert!(names.notices().is_empty());
    change(&mut names, 21);
    assert_eq!(names.notices(), ["name-changes"]);
    (22..=40).for_each(|at| change(&mut names, at));
    assert_eq!(names.notices(), ["name-changes"]);
    assert!(names.record("office.example.net").changes.len() <= 21);
}
