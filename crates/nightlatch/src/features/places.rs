//! Where addresses are, as far as files of this machine tell. For commands that show many sources: each file is
//! read once. Nothing is asked over the network.

use std::net::IpAddr;

use nightlatch_core::AddrRange;
use serde::Serialize;

/// What is said where nothing is known.
const UNKNOWN: &str = "unknown";

/// Where an address is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its country; none where that is not known.
    pub country: Option<Country>,
    /// The autonomous system that it belongs to; none where that is not known.
    pub system: Option<System>,
    /// The networks that contain it, by lists that name them.
    pub networks: Vec<Network>,
}

/// A country.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Country {
    /// Its code of two letters.
    pub code: String,
    /// Its name, if it has one.
    pub name: Option<&'static str>,
}

/// An autonomous system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct System {
    /// Its number.
    pub number: u64,
    /// Whose it is, printable and short; empty where that is not known.
    pub organization: String,
    /// The network of it that contains the address.
    pub range: AddrRange,
}

/// A network on a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Its addresses.
    pub range: AddrRange,
    /// The list that names it.
    pub list: String,
}

impl Place {
    /// The code of the country, in a table.
    pub fn country(&self) -> &str {
        self.country.as_ref().map_or(UNKNOWN, |country| country.code.as_str())
    }

    /// The networks, in a table.
    pub fn network(&self) -> String {
        let system = self.system.as_ref().map(|it| {
            let words = format!("{} AS{} {}", it.range, it.number, it.organization);
            words.trim_end().to_owned()
        });
        let lists = self.networks.iter().map(|it| format!("{} (list {})", it.range, it.list));
        let named: Vec<String> = system.into_iter().chain(lists).collect();
        if named.is_empty() { UNKNOWN.to_owned() } else { named.join(", ") }
    }
}

/// Adds what one feature knows of an address.
pub(crate) type LookUp = Box<dyn Fn(IpAddr, &mut Place)>;

/// What all features know.
pub struct Places(Vec<LookUp>);

impl Places {
    pub(crate) fn of(look_ups: Vec<LookUp>) -> Places {
        Places(look_ups)
    }

    /// Where an address is.
    pub fn at(&self, address: IpAddr) -> Place {
        let mut place = Place::default();
        self.0.iter().for_each(|look_up| look_up(address, &mut place));
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_knows_is_unknown() {
        let address = "192.0.2.7".parse().unwrap();
        let none = Places::of(Vec::new()).at(address);
        assert_eq!((none.country(), none.network().as_str()), ("unknown", "unknown"));
        let list = |name: &'static str, range: &str| -> LookUp {
            let range: AddrRange = range.parse().unwrap();
            Box::new(move |_, place| {
                place.networks.push(Network { range, list: name.to_owned() });
            })
        };
        let places = Places::of(vec![list("bad", "192.0.2.0/24"), list("worse", "192.0.2.7")]);
        let mut place = places.at(address);
        assert_eq!(place.network(), "192.0.2.0/24 (list bad), 192.0.2.7 (list worse)");
        let range = "192.0.0.0/22".parse().unwrap();
        place.system = Some(System { number: 64_496, organization: String::new(), range });
        assert!(place.network().starts_with("192.0.0.0/22 AS64496, 192.0.2.0/24"));
    }
}
