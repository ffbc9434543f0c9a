//! What a feature may look at besides its own state.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::By;
use crate::api::Caller;
use crate::config::{Config, Rules};
use crate::engine::schedule::Schedule;
use crate::lists::Guard;
use crate::policy::{self, Claim, Packet, Says, What, World};
use crate::posture::{Mode, Posture};
use crate::service::{Catalogue, Grant, Ports, Role, ServiceName};
use crate::signalling::Learned;
use crate::time::Time;
use crate::{AddrRange, Family};

/// The state of all features and of the engine, to look at; no feature sees another one by name.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    world: World<'a>,
    config: &'a Config,
    schedule: &'a Schedule,
    caller: &'a Caller,
    force: bool,
    administrators: &'a BTreeMap<IpAddr, Time>,
}

/// For how long after a request its caller's address counts as an administrator's.
const ADMINISTERS: Duration = Duration::from_secs(86_400);

impl<'a> View<'a> {
    /// What there is to see.
    pub(crate) fn new(
        world: World<'a>,
        config: &'a Config,
        schedule: &'a Schedule,
        caller: &'a Caller,
        force: bool,
        administrators: &'a BTreeMap<IpAddr, Time>,
    ) -> View<'a> {
        View { world, config, schedule, caller, force, administrators }
    }

    /// Whether somebody has asked for something from an address in a range within the last day.
    pub fn administers(&self, range: AddrRange) -> bool {
        let own = self.caller.origin.filter(|origin| range.contains(origin.to_canonical()));
        let mut within = self.administrators.range(range.first_address()..=range.last_address());
        own.is_some() || within.any(|(_, at)| self.now().since(*at) < ADMINISTERS)
    }

    /// The moment.
    pub fn now(&self) -> Time {
        self.world.now
    }

    /// Who asks; this program itself where nobody does.
    pub fn caller(&self) -> &'a Caller {
        self.caller
    }

    /// Whether the caller insists.
    pub fn force(&self) -> bool {
        self.force
    }

    /// All that a judgement depends on.
    pub fn world(&self) -> &World<'a> {
        &self.world
    }

    /// How the firewall is to stand.
    pub fn posture(&self) -> &'a Posture {
        self.world.state.posture()
    }

    /// The configuration.
    pub fn config(&self) -> &'a Config {
        self.config
    }

    /// What the administrator says about the firewall.
    pub fn rules(&self) -> &'a Rules {
        self.world.rules
    }

    /// The services of this server.
    pub fn catalogue(&self) -> &'a Catalogue {
        self.world.catalogue
    }

    /// The peers known from this host's own requests.
    pub fn learned(&self) -> &'a Learned {
        self.world.learned
    }

    /// The background work.
    pub fn schedule(&self) -> &'a Schedule {
        self.schedule
    }

    /// All claims that overlap a range.
    pub fn claims(&self, over: AddrRange) -> Vec<Claim<'a>> {
        let mut claims = Vec::new();
        self.world.state.claims(over, self.world.now, &mut |claim| claims.push(claim));
        claims
    }

    /// The claims of accounts and leases that overlap a range, whether or not their conditions are met: the
    /// range, and who allows it.
    pub fn allowed(&self, over: AddrRange) -> Vec<(AddrRange, By<'a>)> {
        let claims = self.claims(over).into_iter();
        let allowed =
            claims.filter(|claim| matches!(claim.says, Says::Allow(_) | Says::AllowIf { .. }));
        allowed.map(|claim| (claim.over, claim.by)).collect()
    }

    /// The ranges of all accounts, by the name of the account.
    pub fn all_allowed(&self) -> BTreeMap<By<'a>, Vec<AddrRange>> {
        let mut all: BTreeMap<By<'a>, Vec<AddrRange>> = BTreeMap::new();
        for family in [Family::V4, Family::V6] {
            for (range, by) in self.allowed(AddrRange::all(family)) {
                all.entry(by).or_default().push(range);
            }
        }
        all
    }

    /// Whether an account covers an address.
    pub fn is_allowed(&self, address: IpAddr) -> bool {
        !self.allowed(AddrRange::from(address.to_canonical())).is_empty()
    }

    /// Whether a block or a denial covers an address.
    pub fn is_closed_to(&self, address: IpAddr) -> bool {
        is_closed_to(&self.world, address)
    }

    /// Whether the address may begin an SSH session.
    pub fn reaches_ssh(&self, address: IpAddr) -> bool {
        reaches_ssh(&self.world, address)
    }

    /// Whether the address could begin an SSH session if it were on a list, or on none.
    pub fn reaches_ssh_if(&self, listed: bool, address: IpAddr) -> bool {
        reaches_ssh(&World { assume_listed: Some(listed), ..self.world }, address)
    }

    /// Whether the address could begin an SSH session without this claim: by another account that always
    /// counts, or because strangers may.
    pub fn reaches_ssh_without(&self, address: IpAddr, without: By<'_>) -> bool {
        let catalogue = self.catalogue();
        let ssh = ServiceName::known("ssh");
        let claims = self.claims(AddrRange::from(address.to_canonical()));
        let by_another = claims.iter().any(|claim| match claim.says {
            Says::Allow(grant) if claim.by != without => match grant {
                Grant::All => true,
                Grant::Some(names) => catalogue.with_brought(&**names).contains(&ssh),
            },
            _ => false,
        });
        let open = policy::open_to_strangers(self.rules(), catalogue);
        let is_open = |ports: &Ports| open.contains(ports.protocol, ports.first);
        let to_strangers = || catalogue.opening([&ssh]).ports.iter().any(is_open);
        by_another || self.posture().mode == Mode::Open && to_strangers()
    }

    /// The lists that hold an address, whoever is spared.
    pub fn listed_by(&self, address: IpAddr) -> Vec<By<'a>> {
        let mut found = Vec::new();
        self.world.state.holding(address, &mut |by| found.push(by));
        found
    }

    /// Whether no list counts for an address, and no ban may be set: this server needs it, or an account
    /// or an exemption covers it.
    pub fn is_spared_by_lists(&self, address: IpAddr) -> bool {
        let spares = |claim: &Claim<'_>| {
            matches!(claim.says, Says::Allow(_) | Says::AllowIf { .. } | Says::Spare)
        };
        Guard::of(&self.posture().site).holds(address)
            || self.claims(AddrRange::from(address.to_canonical())).iter().any(spares)
    }

    /// What no list may hold.
    pub fn guard(&self) -> Guard<'a> {
        Guard::of(&self.posture().site)
    }

    /// Whether strangers reach signalling in this mode.
    pub fn strangers_may_register(&self, mode: Mode) -> bool {
        strangers_may_register(&self.world, mode)
    }

    /// When a feature wants the PBX to be asked next.
    pub fn pbx_needed(&self) -> Option<Time> {
        self.world.state.pbx_needed()
    }
}

/// Whether a block, a ban or a denial covers an address.
pub fn is_closed_to(world: &World<'_>, address: IpAddr) -> bool {
    let mut closed = false;
    world.state.claims(AddrRange::from(address.to_canonical()), world.now, &mut |claim| {
        closed |= match claim.says {
            Says::Block | Says::Deny(_) => true,
            Says::Ban(until) => until > world.now,
            _ => false,
        };
    });
    closed
}

/// Whether strangers reach signalling in a mode.
pub fn strangers_may_register(world: &World<'_>, mode: Mode) -> bool {
    mode == Mode::Open && signalling_is_open(world.rules, world.catalogue)
}

/// Whether the address may begin an SSH session.
pub fn reaches_ssh(world: &World<'_>, address: IpAddr) -> bool {
    let ssh = world.catalogue.opening([&ServiceName::known("ssh")]);
    ssh.ports.iter().any(|ports| {
        let what = What::Tcp { port: ports.first };
        policy::judge(world, &Packet::new(address, what)).passes
    })
}

/// Whether strangers reach a signalling port in open mode.
fn signalling_is_open(rules: &Rules, catalogue: &Catalogue) -> bool {
    let open = policy::open_to_strangers(rules, catalogue);
    let datagrams = [Role::Sip, Role::Iax].map(|role| catalogue.udp_ports(role)).concat();
    let streams = catalogue.sip_tcp_ports();
    datagrams.iter().chain(&streams).any(|ports| open.contains(ports.protocol, ports.first))
}
