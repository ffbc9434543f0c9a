//! Secret user agents of SIP phones.

use std::net::IpAddr;

use super::spa::Opening;
use super::{Kind, UserName, Users, Why};
use crate::features::{Plan, View};
use crate::service::{Grant, Role, ServiceName};

/// A REGISTER whose user agent is the secret one of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    /// The user.
    pub user: UserName,
    /// What the credential is known by.
    pub fingerprint: String,
    /// From where it came.
    pub source: IpAddr,
}

impl Users {
    /// A phone registers with a secret user agent: it gets all services of its user, and its next try gets
    /// through.
    pub(super) fn registers(&self, registers: &Registers, view: &View<'_>) -> Plan<Users> {
        let Registers { user, fingerprint, source } = registers;
        let holder = self.holder(user, Kind::Agent, fingerprint);
        let opened = holder.and_then(|user| {
            if user.hours.as_ref().is_some_and(|hours| !hours.contain(view.now())) {
                return Err(Why::OutsideHours);
            }
            let services = user.services.clone();
            if !view.catalogue().any_brought(names(&services), |it| it.role == Role::Sip) {
                return Err(Why::NoSip);
            }
            let address = source.to_canonical();
            let opening = Opening { credential: Kind::Agent, address, services, lasts: None };
            self.opening(user, opening, view)
        });
        opened.unwrap_or_else(|why| self.refuse(user, Kind::Agent, *source, why, view))
    }
}

fn names(services: &Grant) -> impl Iterator<Item = &ServiceName> {
    let names = match services {
        Grant::Some(names) => Some(names),
        Grant::All => None,
    };
    names.into_iter().flat_map(|names| names.iter())
}
