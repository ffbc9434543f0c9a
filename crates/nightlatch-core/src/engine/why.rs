//! `why`: explains what happens to packets from an address.

use std::net::IpAddr;

use super::Engine;
use crate::AddrRange;
use crate::api::{Holding, PacketVerdict, Reply, Why, reason_word};
use crate::ledger::{Denial, DenialCause, Mode, is_over};
use crate::lists::Listed;
use crate::policy::{self, Packet, Reason, Standing, Verdict, What, World};
use crate::service::{Ports, Protocol, Role};
use crate::signalling::{self, FirstBytes};
use crate::time::{Time, show_span};

impl Engine {
    pub(super) fn why(&self, address: IpAddr, to: Option<Ports>, now: Time) -> Reply {
        let world = self.world(now);
        let address = address.to_canonical();
        let standing = Standing::of(&world, address);
        let reaches = self.reaches(address, now);
        let verdict = match to {
            Some(ports) => judge_port(&world, address, ports.protocol, ports.first),
            None => self.overall(address, now),
        };
        let blocks = self.ledger.blocks.at(address);
        let mut blocks: Vec<_> = blocks.filter(|block| !is_over(block.until, now)).collect();
        blocks.sort_by_key(|block| block.range.width());
        Reply::Why(Box::new(Why {
            address,
            to,
            passes: verdict.passes,
            reason: reason_word(&verdict).to_owned(),
            sentence: self.sentence(address, to, &verdict, now),
            reaches,
            accounts: standing.accounts.iter().map(|account| (*account).clone()).collect(),
            blocks: blocks.into_iter().cloned().collect(),
            lists: policy::listed(&world, address)
                .into_iter()
                .map(|listed| Holding { fetched: self.fetched_at(&listed), listed })
                .collect(),
            packets: self.by_kind(address, to, now),
            known: self.known(address, now),
            denials: self.ledger.denials.at(address).cloned().collect(),
        }))
    }

    /// For a UDP signalling port: the verdict for each kind of packet.
    fn by_kind(&self, address: IpAddr, to: Option<Ports>, now: Time) -> Vec<PacketVerdict> {
        let udp = to.filter(|ports| ports.protocol == Protocol::Udp);
        let Some(port) = udp.map(|ports| ports.first) else { return Vec::new() };
        let role = self.catalogue.role(port);
        if !role.is_signalling() {
            return Vec::new();
        }
        let examples = signalling::examples(role);
        let world = self.world(now);
        let on_loopback = address.is_loopback();
        let kinds = [
            ("request", "requests", examples.request),
            ("registration", "registrations", examples.registration),
            ("response", "responses", examples.response),
        ];
        let judged = kinds.map(|(kind, several, first)| {
            let what = What::Udp { from: source_port(&world, address, port), port };
            let packet = Packet { on_loopback, first, ..Packet::new(address, what) };
            let verdict = policy::judge(&world, &packet);
            PacketVerdict {
                kind: kind.to_owned(),
                passes: verdict.passes,
                reason: reason_word(&verdict).to_owned(),
                sentence: self.sentence_about(several, address, &verdict, now),
            }
        });
        judged.into()
    }

    fn tell_block(&self, range: &AddrRange, now: Time) -> String {
        let Some(block) = self.ledger.blocks.get(range) else { return String::new() };
        let until = block.until.map_or_else(
            || "for ever".to_owned(),
            |until| format!("until {until}, {} left", show_span(until.since(now))),
        );
        let reason = match block.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        format!(", set by {} at {}, {until}{reason}", block.by, block.since)
    }

    fn tell_accounts(&self, names: &[String], now: Time) -> String {
        let accounts = names.iter().filter_map(|name| {
            self.ledger.accounts.values().find(|account| account.name.as_str() == name)
        });
        let told = accounts.map(|account| {
            let until = account.until.map_or_else(String::new, |until| {
                format!(", until {until}, {} left", show_span(until.since(now)))
            });
            format!(
                "account \"{}\" ({}), made by {} at {}{until}",
                account.name, account.services, account.by, account.since
            )
        });
        told.collect::<Vec<String>>().join("; ")
    }

    /// The names of the services the address reaches; `all` where nothing is closed to it.
    fn reaches(&self, address: IpAddr, now: Time) -> Vec<String> {
        let world = self.world(now);
        let unlimited = judge_what(&world, address, What::Other(254));
        if unlimited.passes {
            return vec!["all".to_owned()];
        }
        let reached = self.catalogue.0.iter().filter(|(_, service)| {
            let ports = service.ports.iter();
            let judged =
                ports.map(|ports| judge_port(&world, address, ports.protocol, ports.first));
            let echo = service.ping.then(|| judge_what(&world, address, echo_request(address)));
            let mut judged = judged.chain(echo).peekable();
            judged.peek().is_some() && judged.all(|verdict| verdict.passes)
        });
        reached.map(|(name, _)| name.to_string()).collect()
    }

    /// The verdict that matters most where no port was named: the best the address gets.
    fn overall(&self, address: IpAddr, now: Time) -> Verdict {
        let world = self.world(now);
        let ports = self.catalogue.every_port().ports;
        let judged =
            ports.iter().map(|ports| judge_port(&world, address, ports.protocol, ports.first));
        let everything = judge_what(&world, address, What::Other(254));
        let mut verdicts: Vec<Verdict> = std::iter::once(everything).chain(judged).collect();
        let passes = verdicts.iter().position(|verdict| verdict.passes);
        // It matters more than that no account covers the rest.
        let is_denied = |verdict: &Verdict| matches!(verdict.reason, Reason::Denied { .. });
        let best = passes.or_else(|| verdicts.iter().position(is_denied)).unwrap_or(0);
        verdicts.swap_remove(best)
    }

    fn sentence(&self, address: IpAddr, to: Option<Ports>, verdict: &Verdict, now: Time) -> String {
        let what = to.map_or_else(
            || "new connections".to_owned(),
            |ports| match &verdict.reason {
                Reason::Peer { .. } if ports.protocol == Protocol::Udp => {
                    let from = source_port(&self.world(now), address, ports.first);
                    format!("requests to {ports}, but not registrations, from port {from}")
                }
                _ => format!("new packets to {ports}"),
            },
        );
        self.sentence_about(&what, address, verdict, now)
    }

    /// A verdict on packets of an address that are called `what`.
    fn sentence_about(&self, what: &str, address: IpAddr, verdict: &Verdict, now: Time) -> String {
        match &verdict.reason {
            Reason::Off => {
                "everything passes: the firewall is off (\"nightlatch up\" puts it up)".to_owned()
            }
            Reason::Blocked { range } => format!(
                "{what} of {address} are dropped: {range} is blocked{}",
                self.tell_block(range, now)
            ),
            Reason::Account { names } => {
                format!("{what} of {address} pass: {}", self.tell_accounts(names, now))
            }
            Reason::OpenService { service, limited } => format!(
                "{what} of {address} pass{}: in mode open, {service} answers strangers",
                if *limited { ", under the rate limits" } else { "" }
            ),
            Reason::Denied { range } => {
                let told = self.ledger.denials.get(range).map(|denial| tell_denial(denial, now));
                format!(
                    "{what} of {address} are dropped, and nothing is sent there either: {}",
                    told.unwrap_or_default()
                )
            }
            Reason::Peer { by, seen } => format!(
                "{what} of {address} pass: {}, most recently {} ago",
                signalling::did(*by),
                show_span(now.since(*seen))
            ),
            Reason::Media => {
                format!(
                    "{what} of {address} pass: media are accepted from everybody (media = \"any\")"
                )
            }
            Reason::Listed { lists } => {
                let told: Vec<String> =
                    lists.iter().map(|listed| self.tell_listed(listed, now)).collect();
                // In mode allowlist they would be dropped without any list.
                let also = match self.ledger.mode {
                    Mode::Open => "",
                    Mode::Allowlist => "no account lets them in; nor would mode open: ",
                };
                format!(
                    "{what} of {address} are dropped without an answer: {also}{}",
                    told.join("; ")
                )
            }
            Reason::Stranger => {
                let accounts = Standing::of(&self.world(now), address).accounts;
                let lets_in: Vec<String> = accounts
                    .iter()
                    .map(|account| {
                        format!(
                            "account \"{}\" lets it in for {} only",
                            account.name, account.services
                        )
                    })
                    .collect();
                let open = match self.ledger.mode {
                    Mode::Open => ", and strangers may not use this service",
                    Mode::Allowlist => "",
                };
                let why = match lets_in.as_slice() {
                    [] => format!("no account lets them in{open}"),
                    lets_in => lets_in.join("; "),
                };
                format!("{what} of {address} are dropped without an answer: {why}")
            }
            Reason::Loopback => {
                format!("{what} of {address} pass: the machine itself is never shut out")
            }
            other => format!("{what} of {address} pass ({other:?})"),
        }
    }

    fn tell_listed(&self, listed: &Listed, now: Time) -> String {
        let age = |verb: &str| {
            self.fetched_at(listed).map_or_else(
                || "of unknown age".to_owned(),
                |at| format!("{verb} {} ago", show_span(now.since(at))),
            )
        };
        match listed {
            Listed::Feed { name, entry } => {
                format!("feed \"{name}\" names {entry}, {}", age("fetched"))
            }
            Listed::Country { country: Some(code), entry } => {
                let name = nightlatch_parse::country::name(*code).unwrap_or("unknown country");
                let entry = entry.map_or_else(String::new, |entry| format!(" {entry},"));
                let age = age("read");
                format!("strangers from {name} ({code}) are shut out:{entry} by the table {age}")
            }
            Listed::Country { country: None, .. } => format!(
                "it belongs to no country, and only some are let in: by the table {}",
                age("read")
            ),
        }
    }

    /// When the list was fetched, or its source confirmed it.
    pub(super) fn fetched_at(&self, listed: &Listed) -> Option<Time> {
        match listed {
            Listed::Feed { name, .. } => {
                self.ledger.feeds.get(name).and_then(|(_, state)| state.fetched)
            }
            Listed::Country { .. } => self.table_taken(),
        }
    }
}

fn tell_denial(denial: &Denial, now: Time) -> String {
    let lasts = denial.until.since(now);
    match &denial.cause {
        DenialCause::AccountGone { account } if account.is_empty() => format!(
            "closed by an earlier version, which did not note why; denied for {} more, and as long as the PBX holds a contact there; \"nightlatch allow NAME {}\" allows it again",
            show_span(lasts),
            denial.range
        ),
        DenialCause::AccountGone { account } => format!(
            "{} was removed or expired at {}; denied for another {}, and for as long as the PBX has a contact there; \"nightlatch allow NAME {}\" allows it again",
            if account.is_empty() {
                "its account".to_owned()
            } else {
                format!("account \"{account}\"")
            },
            denial.since,
            show_span(lasts),
            denial.range
        ),
        DenialCause::UnlistedContact { extension } => format!(
            "{extension} is registered at the PBX with this address (found at {}), and no account covers it; denied{} until the PBX has no contact there; \"nightlatch allow NAME {}\" allows it",
            denial.since,
            denial.exception(),
            denial.range
        ),
    }
}

/// The best verdict of all kinds of packets to that port: a known peer may send requests, but may
/// not register.
fn judge_port(world: &World<'_>, address: IpAddr, protocol: Protocol, port: u16) -> Verdict {
    let what = match protocol {
        Protocol::Tcp => What::Tcp { port },
        Protocol::Udp => What::Udp { from: source_port(world, address, port), port },
    };
    let judge = |first: FirstBytes| {
        let packet = Packet { on_loopback: address.is_loopback(), ..Packet::new(address, what) };
        policy::judge(world, &Packet { first, ..packet })
    };
    let role = if protocol == Protocol::Udp { world.catalogue.role(port) } else { Role::Plain };
    let registration = judge(signalling::examples(role).registration);
    if registration.passes || !role.is_signalling() {
        return registration;
    }
    let request = judge(signalling::examples(role).request);
    if request.passes { request } else { registration }
}

/// The source port to judge by: for a known peer, its known port; otherwise any port except those of
/// DHCP servers, which have rules of their own.
fn source_port(world: &World<'_>, address: IpAddr, port: u16) -> u16 {
    let known = world.learned.of(address.to_canonical(), world.now);
    let known = known.map(|(peer, _)| peer).filter(|peer| peer.local_port == port);
    known.min_by_key(|peer| peer.by).map_or(1024, |peer| peer.port)
}

fn judge_what(world: &World<'_>, address: IpAddr, what: What) -> Verdict {
    // Whoever asks for such an address means the host itself.
    let on_loopback = address.is_loopback();
    let packet = Packet { on_loopback, ..Packet::new(address, what) };
    policy::judge(world, &packet)
}

fn echo_request(address: IpAddr) -> What {
    match address {
        IpAddr::V4(_) => What::Icmp { kind: 8, code: 0 },
        IpAddr::V6(_) => What::Icmp6 { kind: 128, hop_limit: 64 },
    }
}
