//! The catalogue: one data file, which is part of the program.

use std::sync::LazyLock;

use serde::Deserialize;

use super::{Provider, ProviderName, Status};
use crate::AddrRange;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: Vec<Provider>,
}

/// All providers, by name. A mistake in the file fails a test; the program never reads a faulty one.
static CATALOGUE: LazyLock<Vec<Provider>> =
    LazyLock::new(|| read(include_str!("catalogue.toml")).unwrap_or_default());

fn read(text: &str) -> Result<Vec<Provider>, toml::de::Error> {
    let mut providers = toml::from_str::<File>(text)?.provider;
    providers.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(providers)
}

/// All providers, by name.
pub fn all() -> &'static [Provider] {
    &CATALOGUE
}

/// The provider of a name.
pub fn find(name: &ProviderName) -> Option<&'static Provider> {
    all().iter().find(|provider| provider.name == *name)
}

/// The names that are most like a mistyped one.
pub fn near(name: &ProviderName) -> Vec<ProviderName> {
    let begin: String = name.as_str().chars().take(4).collect();
    let alike = all()
        .iter()
        .map(|provider| &provider.name)
        .filter(|known| known.as_str().contains(&begin) || name.as_str().contains(known.as_str()));
    alike.take(5).cloned().collect()
}

/// The provider whose server this is, by its host name or by all of its addresses, and that can be
/// enabled. A verified one comes first.
pub fn of_server(host: Option<&str>, ranges: &[AddrRange]) -> Option<&'static Provider> {
    let covers =
        |status: Status| all().iter().find(|it| it.status == status && it.covers(host, ranges));
    covers(Status::Verified).or_else(|| covers(Status::Unverified))
}

/// The provider in whose domain a host is.
pub fn of_domain(host: &str) -> Option<&'static Provider> {
    all().iter().find(|provider| provider.owns(host))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Family;
    use crate::lists::is_special;

    /// All that a provider may be allowed.
    const TELEPHONY: [&str; 4] = ["sip", "sip-tls", "iax", "rtp"];

    fn file() -> Vec<Provider> {
        toml::from_str::<File>(include_str!("catalogue.toml")).unwrap().provider
    }

    fn is_date(text: &str, day_needed: bool) -> bool {
        let parts: Vec<&str> = text.split('-').collect();
        let number = |text: &str, digits: usize, range: std::ops::RangeInclusive<u16>| {
            text.len() == digits && text.parse().is_ok_and(|number| range.contains(&number))
        };
        match parts.as_slice() {
            [year, month] => {
                !day_needed && number(year, 4, 2000..=2100) && number(month, 2, 1..=12)
            }
            [year, month, day] => {
                number(year, 4, 2000..=2100) && number(month, 2, 1..=12) && number(day, 2, 1..=31)
            }
            _ => false,
        }
    }

    #[test]
    fn the_names_are_in_order_and_unique() {
        let names: Vec<ProviderName> = file().into_iter().map(|it| it.name).collect();
        assert!(names.is_sorted_by(|one, other| one < other), "{names:?}");
    }

    #[test]
    fn every_entry_is_complete() {
        for provider in file() {
            let name = &provider.name;
            assert!(!provider.title.is_empty(), "{name}");
            assert!(!provider.domains.is_empty(), "{name}: nothing to recognise a trunk by");
            let https = |source: &String| source.starts_with("https://");
            assert!(provider.sources.iter().all(https), "{name}");
            match provider.status {
                Status::Verified => {
                    assert!(provider.date.as_deref().is_some_and(|it| is_date(it, true)), "{name}");
                    assert!(!provider.sources.is_empty() && provider.has_addresses(), "{name}");
                }
                Status::Unverified => {
                    assert_eq!(provider.date, None, "{name}: nobody has verified it");
                    let told = !provider.sources.is_empty() || provider.note.is_some();
                    assert!(told, "{name}: where the addresses come from");
                    assert!(provider.has_addresses() || provider.note.is_some(), "{name}");
                }
                Status::Defunct => {
                    let since = provider.date.as_deref();
                    assert!(since.is_some_and(|it| is_date(it, false)), "{name}: since when");
                    assert!(provider.note.is_some(), "{name}: why");
                    assert!(!provider.has_addresses(), "{name}: somebody else may have them");
                }
            }
        }
    }

    #[test]
    fn only_telephony_is_allowed() {
        for provider in file() {
            assert!(!provider.services.is_empty(), "{}", provider.name);
            for service in &provider.services {
                assert!(TELEPHONY.contains(&service.as_str()), "{}: {service}", provider.name);
            }
        }
    }

    #[test]
    fn every_network_is_public_and_narrow() {
        for provider in file() {
            let mut seen = BTreeSet::new();
            for range in provider.networks.iter().chain(&provider.media) {
                let ends = [range.first_address(), range.last_address()];
                assert!(!ends.into_iter().any(is_special), "{}: {range}", provider.name);
                let most = match range.family() {
                    Family::V4 => 1 << 16,
                    Family::V6 => 1 << 96,
                };
                assert!(range.width() < most, "{}: {range} is too wide", provider.name);
                assert!(seen.insert(range), "{}: {range} twice", provider.name);
            }
            let names: BTreeSet<_> = provider.hosts.iter().collect();
            assert_eq!(names.len(), provider.hosts.len(), "{}: a name twice", provider.name);
            for host in &provider.hosts {
                assert!(host.as_str().contains('.'), "{}: {host}", provider.name);
            }
        }
    }

    #[test]
    fn it_knows_whom_people_use() {
        let providers = file();
        let known = |name: &str| providers.iter().any(|it| it.name.as_str() == name);
        for name in [
            "vitelity",
            "voip-ms",
            "didforsale",
            "callcentric",
            "sipgate",
            "voipstreet",
            "les-net",
            "axvoice",
            "sipthor",
            "sipwelcome",
            "future-nine",
            "teliax",
            "simonics",
            "sip2sip",
            "ipkall",
            "google-voice-xmpp",
            "twilio",
            "telnyx",
            "skyetel",
            "clearlyip",
            "flowroute",
            "bandwidth",
            "voxbone",
            "sipgate-trunking",
            "easybell",
            "telekom",
            "gamma",
            "zadarma",
        ] {
            assert!(known(name), "{name}");
        }
        let usable = providers.iter().filter(|it| it.has_addresses()).count();
        assert!(usable >= 30, "{usable}");
    }

    #[test]
    fn mistakes_are_refused() {
        let entry = "[[provider]]\nname = \"one\"\ntitle = \"One\"\nstatus = \"verified\"\nservices = [\"sip\"]\n";
        assert_eq!(read(entry).unwrap().len(), 1);
        for wrong in ["host = []", "networks = [\"192.0.2.300\"]", "hosts = [\"a b\"]"] {
            assert!(read(&format!("{entry}{wrong}\n")).is_err(), "{wrong}");
        }
        assert!(read(&entry.replace("verified", "true")).is_err());
    }

    #[test]
    fn names_and_servers() {
        let near = |text: &str| -> Vec<String> {
            super::near(&text.parse().unwrap()).iter().map(ToString::to_string).collect()
        };
        assert_eq!(near("twillio"), ["twilio"]);
        assert!(near("zzz").is_empty());
        let twilio = of_server(None, &["54.172.60.2".parse().unwrap()]).unwrap();
        assert_eq!(twilio.name.as_str(), "twilio");
        assert_eq!(of_server(Some("sip.example.net"), &[]), None);
        let voip_ms = of_server(Some("toronto5.voip.ms"), &[]).unwrap();
        assert_eq!(voip_ms.name.as_str(), "voip-ms");
        assert_eq!(of_domain("mine.pstn.twilio.com").unwrap().name.as_str(), "twilio");
        assert_eq!(of_domain("example.net"), None);
    }
}
