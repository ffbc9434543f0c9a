//! Users who have knocked, of whom the daemon has not heard.

use std::net::IpAddr;
use std::time::Duration;

use nightlatch_core::condition;
use nightlatch_core::features::users::{self, Secrets, User};
use nightlatch_core::knock::{KNOCKED, key};
use nightlatch_core::learned::Element;
use nightlatch_core::ruleset::{Structure, TABLE};
use nightlatch_core::secret::Secret;
use nightlatch_core::service::{Protocol, ServiceName};
use nightlatch_core::{AddrRange, Family};
use nightlatch_netfilter::{Key, Kind, Netlink, Set};

use super::dice::Dice;
use super::records::{random_grant, random_hours, random_range};
use super::state::{NOW, State};

/// How long all of it lasts.
const LEFT: Duration = Duration::from_secs(50);

/// Users with sequences, some of which cannot be used, and addresses that they have opened.
pub(super) fn add(dice: &mut Dice, state: &mut State, names: &[ServiceName]) {
    let services: Vec<u16> =
        state.catalogue().every_port().of(Protocol::Tcp).map(|ports| ports.first).collect();
    for number in 0..=u16::try_from(dice.below(3)).unwrap() {
        let first = match dice.one_in(6) && !services.is_empty() {
            true => *dice.pick(&services),
            false => 61_000 + number * 10,
        };
        let ports = [first, 61_003 + number * 10, 61_001 + number * 10];
        let user = User {
            name: format!("knocker-{number}").parse().unwrap(),
            services: random_grant(dice, names),
            credentials: std::collections::BTreeMap::new(),
            idle_seconds: None,
            hours: random_hours(dice),
            any_address: false,
            require_address: false,
            permanent: dice.one_in(4),
            note: String::new(),
            since: *NOW,
            by: String::new(),
            card_shown: None,
        };
        let secrets = Secrets { knock: Some(Secret::new(ports)), ..Secrets::default() };
        users::put(user, secrets).into_iter().for_each(|change| state.change(change));
        for _ in 0..dice.below(3) {
            let address = random_range(dice).first_address();
            let until = NOW.after(LEFT);
            let knocked = Element { set: &KNOCKED, key: key(address, ports[2]), until };
            state.conditions.push(knocked);
            for set in condition::SETS {
                if !dice.one_in(4) {
                    let key = condition::key(address);
                    state.conditions.push(Element { set, key, until });
                }
            }
        }
    }
}

/// Who has knocked.
pub(super) fn addresses(state: &State) -> impl Iterator<Item = AddrRange> {
    let knocked = state.conditions.iter().filter(|element| element.set == &KNOCKED);
    knocked.map(|element| AddrRange::from(element.key.address))
}

/// Gives the kernel the addresses that the sequences have opened.
pub(super) fn open(netlink: &mut Netlink, structure: &Structure, state: &State) {
    let knocks = &structure.knocks;
    for element in state.conditions.iter().filter(|element| element.set == &KNOCKED) {
        let is_last = |ports: &Secret<[u16; 3]>| ports.reveal()[2] == element.key.local_port;
        let found = knocks.sequences.iter().find(|(ports, _)| is_last(ports));
        let Some((_, class)) = found else { continue };
        let address: IpAddr = element.key.address;
        let family = Family::of(address);
        let known = format!("knock_known{}", if family == Family::V4 { '4' } else { '6' });
        let mut transaction = netlink.transaction();
        for name in [knocks.classes[*class].set(family), known] {
            let opened = nightlatch_netfilter::Element::from(Key::Address(address)).lasting(LEFT);
            transaction.add(&Set::new(TABLE, name, Kind::Addresses(family)), [opened]);
        }
        transaction.commit().unwrap();
    }
}
