//! The records that use a name: which addresses they get of it, and that nobody follows a name that none
//! uses.

use super::*;
use crate::features::exemptions::{self, Exemption};
use crate::features::providers::{self, Enabled, catalogue};

const OFFICE: &str = "office.example.net";
/// A provider of the catalogue that has host names, and one of these.
const PROVIDER: &str = "easybell";
const PROVIDERS_HOST: &str = "sip.easybell.de";

fn exempt(name: &str, host: &str) -> Request {
    let entries = vec![host.parse().unwrap()];
    Request::of(exemptions::Request::Add { name: name.parse().unwrap(), entries })
}

fn unexempt(name: &str) -> Request {
    let (name, entries) = (name.parse().unwrap(), Vec::new());
    Request::of(exemptions::Request::Remove { name, entries })
}

fn enable() -> Request {
    Request::of(providers::Request::Enable { name: PROVIDER.parse().unwrap() })
}

fn disable() -> Request {
    Request::of(providers::Request::Disable { name: PROVIDER.parse().unwrap() })
}

/// An account with a host name that has these addresses.
fn account_of(name: &str, host: &str, addresses: &[&str]) -> Account {
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let entries = vec![Entry::Host { name: host.parse().unwrap(), addresses }];
    Account { entries, ..made(&format!("{name} 192.0.2.1 all")) }
}

impl Names {
    /// A daemon that starts with this state.
    fn started(state: State) -> Names {
        let mut desk = Desk::new(state);
        desk.feed(Event::Started);
        Names { desk, answers: BTreeMap::new(), asked: Vec::new() }
    }

    /// The names in use.
    fn followed(&self) -> Vec<&str> {
        self.desk.engine.state().names.all.keys().map(HostName::as_str).collect()
    }

    /// The addresses that an account, an exemption and a provider have of a name.
    fn had_of(&self, host: &str) -> [String; 3] {
        let state = self.desk.engine.state();
        let of = |entries: &[Entry]| {
            let own = entries.iter().filter(|it| it.host().is_some_and(|it| it.as_str() == host));
            let ranges: Vec<String> =
                own.flat_map(Entry::ranges).map(|range| range.to_string()).collect();
            ranges.join(",")
        };
        let account = state.accounts.all.get(&"office".parse().unwrap());
        let exemption = state.exemptions.all.get(&"office".parse().unwrap());
        let provider = state.providers.all.get(&PROVIDER.parse().unwrap());
        [
            account.map(|it| of(&it.entries)).unwrap_or_default(),
            exemption.map(|it| of(&it.exempt)).unwrap_or_default(),
            provider.map(|it| of(&it.signalling)).unwrap_or_default(),
        ]
    }
}

/// A state in which everybody who can names hosts does so.
fn everybody(host: &str) -> Names {
    let mut names = Names::new();
    names.allow("office", host, HostOptions::default());
    names.desk.done(exempt("office", host));
    names.desk.done(enable());
    names
}

#[test]
fn nobody_follows_a_name_that_nobody_uses() {
    let mut names = Names::new();
    // An account that ends by itself, and one that is removed.
    let entries = vec![OFFICE.parse().unwrap()];
    let lasts = Some(Duration::from_secs(HOUR));
    let new = NewAccount { entries, lasts, ..super::super::account("short 192.0.2.1 all") };
    names.desk.done(Request::of(accounts::Request::Allow(new)));
    names.allow("office", OFFICE, HostOptions::default());
    names.wait(HOUR + 1);
    assert_eq!(names.followed(), [OFFICE]);
    assert_eq!(names.record(OFFICE).of.keys().collect::<Vec<_>>(), ["accounts/office"]);
    names.desk.done(remove("office"));
    assert_eq!(names.followed(), [""; 0]);
    let new = NewAccount {
        entries: vec![OFFICE.parse().unwrap()],
        lasts,
        ..super::super::account("short 192.0.2.1 all")
    };
    names.desk.done(Request::of(accounts::Request::Allow(new)));
    names.wait(HOUR - 1);
    assert_eq!(names.followed(), [OFFICE]);
    names.wait(2);
    assert_eq!(names.followed(), [""; 0]);
    // An exemption that is removed.
    names.desk.done(exempt("office", OFFICE));
    assert_eq!(names.followed(), [OFFICE]);
    names.desk.done(unexempt("office"));
    assert_eq!(names.followed(), [""; 0]);
    // A provider that is disabled.
    names.desk.done(enable());
    let hosts = &catalogue::find(&PROVIDER.parse().unwrap()).unwrap().hosts;
    assert_eq!(names.followed().len(), hosts.len());
    assert!(names.followed().contains(&PROVIDERS_HOST));
    names.desk.done(disable());
    assert_eq!(names.followed(), [""; 0]);
    names.asked.clear();
    names.wait(HOUR);
    assert!(names.asked.is_empty(), "{:?}", names.asked);
}

#[test]
fn an_account_that_ended_while_the_daemon_was_stopped_keeps_no_name() {
    let mut names = Names::new();
    names.answer("203.0.113.20");
    let new = NewAccount {
        entries: vec![OFFICE.parse().unwrap()],
        lasts: Some(Duration::from_secs(HOUR)),
        ..super::super::account("short 192.0.2.1 all")
    };
    names.desk.done(Request::of(accounts::Request::Allow(new)));
    names.wait(1);
    let mut names = names.restart(2 * HOUR);
    names.answer("203.0.113.20");
    assert!(!names.is_open("203.0.113.20"));
    names.wait(1);
    assert_eq!(names.followed(), [""; 0]);
    // As in the database of an earlier version, which follows no names: no name comes into use for it.
    let mut state = Names::new().desk.engine.state().clone();
    let ended = account_of("short", OFFICE, &["203.0.113.20"]);
    state.apply(accounts::put(Account { until: Some(START), ..ended }));
    let names = Names::started(state);
    assert_eq!(names.followed(), [""; 0]);
}

#[test]
fn private_addresses_count_for_no_exemption_or_provider() {
    let mut names = everybody(PROVIDERS_HOST);
    let options = HostOptions { allow_private: true, ..HostOptions::default() };
    names.allow("split", PROVIDERS_HOST, options);
    for private in ["10.0.0.7", "100.64.0.7", "fd00::7", "fec0::7"] {
        names.answer_for(PROVIDERS_HOST, found(&format!("203.0.113.20,{private}"), 60));
        names.wait(6 * MINUTE);
        assert_eq!(names.record(PROVIDERS_HOST).addresses.len(), 2, "{private}");
        assert_eq!(names.had_of(PROVIDERS_HOST), ["203.0.113.20"; 3], "{private}");
        assert!(names.is_open(private), "{private}: split accepts it");
    }
    // Whoever names it later gets no private address either.
    names.desk.done(unexempt("office"));
    names.desk.done(disable());
    names.desk.done(exempt("office", PROVIDERS_HOST));
    names.desk.done(enable());
    assert_eq!(names.had_of(PROVIDERS_HOST), ["203.0.113.20"; 3]);
    names.desk.done(remove("split"));
    assert!(!names.is_open("fec0::7") && names.is_open("203.0.113.20"));
}

#[test]
fn a_record_gets_the_addresses_that_it_lacks_at_the_start() {
    let mut names = everybody(PROVIDERS_HOST);
    names.answer_for(PROVIDERS_HOST, found("203.0.113.20", 60));
    names.wait(1);
    assert_eq!(names.had_of(PROVIDERS_HOST), ["203.0.113.20"; 3]);
    // Records that have none, and records that have another one.
    for addresses in [vec![], vec!["203.0.113.9".parse().unwrap()]] {
        let mut state = names.desk.engine.state().clone();
        let host = |entry: &mut Entry| {
            if let Entry::Host { name, addresses: own } = entry
                && name.as_str() == PROVIDERS_HOST
            {
                own.clone_from(&addresses);
            }
        };
        let mut account: Account = state.accounts.all.values().next().unwrap().clone();
        account.entries.iter_mut().for_each(host);
        let mut exemption: Exemption = state.exemptions.all.values().next().unwrap().clone();
        exemption.exempt.iter_mut().for_each(host);
        let mut provider: Enabled = state.providers.all.values().next().unwrap().clone();
        provider.signalling.iter_mut().for_each(host);
        for change in [accounts::put(account), exemptions::put(exemption), providers::put(provider)]
        {
            state.apply(change);
        }
        let mut again = Names::started(state);
        assert_eq!(again.had_of(PROVIDERS_HOST), ["203.0.113.20"; 3], "{addresses:?}");
        assert!(again.is_open("203.0.113.20") && !again.is_open("203.0.113.9"));
        // A start at which nothing is missing writes nothing down.
        let again = Names::started(again.desk.engine.state().clone());
        assert_eq!(again.desk.changes.len(), 0);
    }
}

#[test]
fn a_name_that_the_catalogue_dropped_is_no_longer_followed() {
    let mut names = Names::new();
    names.desk.done(enable());
    let mut state = names.desk.engine.state().clone();
    // "twilio" has no host names in this catalogue; another version had one.
    let mut twilio = Enabled { name: "twilio".parse().unwrap(), ..enabled(&names) };
    twilio.signalling = vec![Entry::Host { name: OFFICE.parse().unwrap(), addresses: Vec::new() }];
    let mut followed = names::Name::new(OFFICE.parse().unwrap());
    followed.of.insert("providers/twilio".to_owned(), false);
    state.apply(providers::put(twilio));
    state.apply(names::put(followed));
    let names = Names::started(state);
    assert!(!names.followed().contains(&OFFICE), "{:?}", names.followed());
    assert!(names.followed().contains(&PROVIDERS_HOST));
}

fn enabled(names: &Names) -> Enabled {
    names.desk.engine.state().providers.all.values().next().unwrap().clone()
}

#[test]
fn addresses_of_an_earlier_version_count_as_looked_up() {
    let state = || {
        let mut state = Names::new().desk.engine.state().clone();
        for account in ["office", "other"] {
            state.apply(accounts::put(account_of(account, OFFICE, &["203.0.113.20"])));
        }
        state
    };
    // They end a day after the name has vanished.
    let mut names = Names::started(state());
    names.answer_for(OFFICE, (Found::Nothing, Found::Nothing));
    names.wait(DAY - HOUR);
    assert!(names.is_open("203.0.113.20"));
    names.wait(2 * HOUR);
    assert!(!names.is_open("203.0.113.20"));
    // Another address replaces them after the overlap.
    let mut names = Names::started(state());
    names.answer("203.0.113.30");
    names.wait(1);
    assert!(names.is_open("203.0.113.20") && names.is_open("203.0.113.30"));
    names.wait(OVERLAP + 40);
    assert!(!names.is_open("203.0.113.20") && names.is_open("203.0.113.30"));
}
