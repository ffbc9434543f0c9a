//! A client that changes one thing after the other, and knows what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nightlatch::shell::server::Envelope;
use nightlatch_core::api::{Ask, Reply, Request};
use nightlatch_core::features::accounts::{self, Entry, NewAccount};
use nightlatch_core::features::blocks::{self, NewBlock};
use nightlatch_core::features::{self, firewall};
use nightlatch_core::posture::Mode;
use nightlatch_core::service::Grant;
use nightlatch_lab::stage::Host;
use serde_json::{Value, json};

use super::Dice;
use crate::support::{Installation, range_of_element};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Among them ranges around the traveller (192.0.2.20), whose own account stays; none holds the
/// attacker (192.0.2.166).
const ALLOWED: [&str; 8] = [
    "203.0.113.7",
    "203.0.113.0/28",
    "203.0.113.5-203.0.113.9",
    "203.0.113.0/24",
    "192.0.2.16/28",
    "192.0.2.0-192.0.2.20",
    "2001:db8:3::/64",
    "2001:db8:2::7",
];
/// All wider than the traveller's account.
const BLOCKED: [&str; 5] =
    ["203.0.113.7", "203.0.113.6/31", "192.0.2.0/26", "2001:db8:3::/48", "2001:db8:2::/64"];
const SERVICES: [&str; 4] = ["all", "sip,web", "ssh", "web,iax,ping"];

/// What was asked for, and how it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stream {
    accounts: BTreeMap<String, (BTreeSet<String>, String)>,
    blocks: BTreeSet<String>,
    open: bool,
    /// Action and subject of each change that happened, in order.
    happened: Vec<(String, String)>,
    /// How many changes were not answered, because the daemon was killed.
    pub(super) in_doubt: usize,
}

#[derive(Clone, Debug)]
enum Change {
    Allow(&'static str, BTreeSet<String>, &'static str),
    Remove(&'static str),
    Block(&'static str),
    Unblock(&'static str),
    Mode(bool),
}

impl Stream {
    /// Changes one thing after the other until it is over, and the daemon answers.
    pub(super) fn run(nightlatch: &Installation<'_>, seed: u64, over: &AtomicBool) -> Stream {
        let mut dice = Dice(seed);
        let mut stream = Stream::default();
        while !over.load(Ordering::SeqCst) {
            let change = stream.next(&mut dice);
            match ask(nightlatch, change.request()) {
                Asked::Answered(Reply::Done(_)) => stream.apply(&change),
                Asked::Answered(other) => panic!("{change:?}: {other:?}"),
                Asked::NotHeard => {}
                Asked::InDoubt => {
                    stream.in_doubt += 1;
                    stream.find_out(nightlatch, &change);
                }
            }
        }
        stream
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.happened.len()
    }

    fn next(&self, dice: &mut Dice) -> Change {
        let name = dice.one_of(&NAMES);
        let blocked = dice.one_of(&BLOCKED);
        match dice.below(10) {
            0..=4 if self.accounts.contains_key(*name) => Change::Remove(name),
            0..=4 => {
                let count = 1 + dice.below(3);
                let ranges = (0..count).map(|_| (*dice.one_of(&ALLOWED)).to_owned()).collect();
                let services: &&'static str = dice.one_of(&SERVICES);
                Change::Allow(name, ranges, services)
            }
            5..=8 if self.blocks.contains(*blocked) => Change::Unblock(blocked),
            5..=8 => Change::Block(blocked),
            _ => Change::Mode(!self.open),
        }
    }

    fn apply(&mut self, change: &Change) {
        let (action, subject) = match change.clone() {
            Change::Allow(name, ranges, services) => {
                self.accounts.insert(name.to_owned(), (ranges, services.to_owned()));
                ("allow", name)
            }
            Change::Remove(name) => {
                self.accounts.remove(name);
                ("remove", name)
            }
            Change::Block(range) => {
                self.blocks.insert(range.to_owned());
                ("block", range)
            }
            Change::Unblock(range) => {
                self.blocks.remove(range);
                ("unblock", range)
            }
            Change::Mode(open) => {
                self.open = open;
                ("mode", "mode")
            }
        };
        self.happened.push((action.to_owned(), subject.to_owned()));
    }

    /// A change that was not answered has happened, or has not: as a whole, and nothing else has.
    fn find_out(&mut self, nightlatch: &Installation<'_>, change: &Change) {
        let (list, services) = Stream::ask_what_stands(nightlatch);
        let found = Stream::found(&list, &services);
        let mut after = self.clone();
        after.apply(change);
        if found == after.standing() {
            *self = after;
        }
        assert_eq!(found, self.standing(), "in doubt was only {change:?}");
    }

    /// The same as `list` and `services`.
    fn ask_what_stands(nightlatch: &Installation<'_>) -> (Value, Value) {
        let requests = [
            accounts::Request::List.into(),
            blocks::Request::List.into(),
            firewall::Request::Services.into(),
        ];
        let ask_all = || {
            let requests = requests.to_vec();
            ask(nightlatch, Request::Do(Ask { requests, ..Ask::default() }))
        };
        let said = loop {
            if let Asked::Answered(reply) = ask_all() {
                let Reply::Done(done) = reply else { panic!("{reply:?}") };
                break done.said;
            }
        };
        let [
            features::Reply::Accounts(accounts::Reply::All(accounts)),
            features::Reply::Blocks(blocks::Reply::All(blocks)),
            features::Reply::Firewall(firewall::Reply::Services(services)),
        ] = said.as_slice()
        else {
            panic!("{said:?}")
        };
        let list = json!({ "list": { "accounts": accounts, "blocks": blocks } });
        (list, serde_json::to_value(services).unwrap())
    }

    /// How things stand, without how they came about.
    fn standing(&self) -> Stream {
        Stream { happened: Vec::new(), in_doubt: 0, ..self.clone() }
    }

    /// How things stand, as `list` and `services` tell it.
    fn found(list: &Value, services: &Value) -> Stream {
        let mut found = Stream { open: services["mode"] == "open", ..Stream::default() };
        for account in list["list"]["accounts"].as_array().unwrap() {
            let name = account["name"].as_str().unwrap();
            if name.len() > 1 {
                continue;
            }
            let entries = account["entries"].as_array().unwrap().iter();
            let ranges = entries.map(|entry| entry["range"].as_str().unwrap().to_owned());
            let services = account["services"].as_array().unwrap().iter();
            let services: BTreeSet<&str> = services.map(|name| name.as_str().unwrap()).collect();
            let services =
                SERVICES.iter().find(|text| text.split(',').collect::<BTreeSet<_>>() == services);
            let services = (*services.unwrap()).to_owned();
            found.accounts.insert(name.to_owned(), (ranges.collect(), services));
        }
        for block in list["list"]["blocks"].as_array().unwrap() {
            let range = block["range"].as_str().unwrap();
            // As it was written, not as it is shown.
            let written = BLOCKED.iter().find(|text| {
                text.parse::<nightlatch_core::AddrRange>().unwrap().to_string() == range
            });
            found.blocks.insert((*written.unwrap()).to_owned());
        }
        found
    }

    /// The records are what was acknowledged.
    pub(super) fn compare_records(&self, list: &Value, services: &Value) {
        assert_eq!(Stream::found(list, services), self.standing());
    }

    /// Every change has its record, in order, and nothing else has.
    pub(super) fn compare_log(&self, records: &[Value]) {
        let ours = records.iter().filter(|record| {
            let (user, subject) = (&record["caller"]["user"], record["subject"].as_str().unwrap());
            user != "nightlatch" && is_of_the_stream(subject)
        });
        let found: Vec<(String, String)> = ours
            .map(|record| {
                let subject = record["subject"].as_str().unwrap().to_owned();
                (record["action"].as_str().unwrap().to_owned(), subject)
            })
            .collect();
        let shown = |text: &String| {
            let range = text.parse::<nightlatch_core::AddrRange>();
            range.map_or_else(|_| text.clone(), |range| range.to_string())
        };
        let expected: Vec<(String, String)> =
            self.happened.iter().map(|(action, what)| (action.clone(), shown(what))).collect();
        assert_eq!(found, expected);
    }

    /// The kernel's lists, as `nft` shows them, give every address the answer of the records.
    pub(super) fn compare_kernel(&self, server: &Host) {
        let list = ["-j", "list", "table", "inet", "nightlatch"];
        let output = server.command("nft").args(list).output().unwrap();
        let table: Value = serde_json::from_slice(&output.stdout).unwrap();
        let in_list = |name: &str, address: &str| -> bool {
            let objects = table["nftables"].as_array().unwrap().iter();
            let mut lists = objects.flat_map(|object| [&object["set"], &object["map"]]);
            let list = lists.find(|list| list["name"] == name).unwrap();
            let elements = list["elem"].as_array().cloned().unwrap_or_default();
            elements.iter().any(|element| {
                // An element of a map is a pair.
                holds(element.get(0).unwrap_or(element), address)
            })
        };
        let is_blocked = |address: &str| -> bool {
            let objects = table["nftables"].as_array().unwrap().iter();
            let mut maps = objects.map(|object| &object["map"]);
            let map = maps.find(|map| map["name"] == "closed_in4").unwrap();
            let elements = map["elem"].as_array().cloned().unwrap_or_default();
            elements.iter().any(|element| {
                // A denial of a removed account leads to another chain.
                let to_block = element[1].get("return").is_some();
                to_block && holds(&element[0], address)
            })
        };
        // Single addresses, and networks and ranges.
        let in_accounts = |address| in_list("host4", address) || in_list("account4", address);
        for address in ["203.0.113.7", "203.0.113.1", "203.0.113.100", "192.0.2.3", "192.0.2.17"] {
            let range: nightlatch_core::AddrRange = address.parse().unwrap();
            let narrowest = |texts: &mut dyn Iterator<Item = &String>| {
                let ranges = texts.map(|text| text.parse::<nightlatch_core::AddrRange>().unwrap());
                ranges.filter(|wide| wide.covers(&range)).map(|wide| wide.width()).min()
            };
            let ranges = &mut self.accounts.values().flat_map(|(ranges, _)| ranges);
            let (account, block) = (narrowest(ranges), narrowest(&mut self.blocks.iter()));
            let blocked = block.is_some_and(|block| account.is_none_or(|a| block <= a));
            let let_in = account.is_some() && !blocked;
            assert_eq!(is_blocked(address), blocked, "{address}: {self:?}");
            assert_eq!(in_accounts(address), let_in, "{address}: {self:?}");
        }
        assert!(in_accounts("192.0.2.20"));
        assert!(!in_accounts("192.0.2.166"));
    }
}

fn is_of_the_stream(subject: &str) -> bool {
    subject == "mode" || subject.len() == 1 || subject.contains(['.', ':'])
}

/// Whether an element of `nft -j` holds an address.
fn holds(element: &Value, address: &str) -> bool {
    range_of_element(element).contains(address.parse().unwrap())
}

impl Change {
    fn request(&self) -> Request {
        let request: features::Request = match self {
            Change::Allow(name, ranges, services) => accounts::Request::Allow(NewAccount {
                hours: None,
                name: name.parse().unwrap(),
                entries: ranges.iter().map(|text| Entry::Range(text.parse().unwrap())).collect(),
                services: Grant::parse(services).unwrap(),
                lasts: None,
                until: None,
                note: String::new(),
                hosts: accounts::HostOptions::default(),
            })
            .into(),
            Change::Remove(name) => {
                accounts::Request::Remove { name: name.parse().unwrap() }.into()
            }
            Change::Block(range) => blocks::Request::Set(NewBlock {
                range: range.parse().unwrap(),
                lasts: None,
                reason: String::new(),
            })
            .into(),
            Change::Unblock(range) => {
                blocks::Request::Remove { range: range.parse().unwrap() }.into()
            }
            Change::Mode(open) => {
                let mode = if *open { Mode::Open } else { Mode::Allowlist };
                firewall::Request::Mode { mode }.into()
            }
        };
        Request::of(request).forced(!matches!(self, Change::Allow(..) | Change::Unblock(_)))
    }
}

enum Asked {
    Answered(Reply),
    /// Nobody listened: certainly nothing happened.
    NotHeard,
    /// The daemon was killed before it answered.
    InDoubt,
}

fn ask(nightlatch: &Installation<'_>, request: Request) -> Asked {
    let Ok(mut stream) = UnixStream::connect(nightlatch.run().join("control.sock")) else {
        std::thread::sleep(Duration::from_millis(5));
        return Asked::NotHeard;
    };
    let mut line = serde_json::to_vec(&Envelope::new(request)).unwrap();
    line.push(b'\n');
    if stream.write_all(&line).is_err() {
        return Asked::InDoubt;
    }
    let mut reply = String::new();
    let read = BufReader::new(stream).read_line(&mut reply);
    match (read, serde_json::from_str(&reply)) {
        (Ok(_), Ok(reply)) => Asked::Answered(reply),
        _ => Asked::InDoubt,
    }
}
