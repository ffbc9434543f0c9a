//! Answers to those who only ask.

use std::net::IpAddr;
use std::time::Duration;

use super::Engine;
use crate::Family;
use crate::api::{Ending, Holding, Reply, Services, Status, Why, reason_word};
use crate::ledger::{Account, Entry, Mode};
use crate::lists::Listed;
use crate::policy::{self, Flow, Packet, Reason, Standing, To, Verdict, What, World};
use crate::service::{Ports, Protocol, ServiceName};
use crate::time::{Time, show_span};

const A_DAY: Duration = Duration::from_secs(86_400);

impl Engine {
    pub(super) fn services(&self) -> Reply {
        Reply::Services(Services {
            product: self.rules.product.unwrap_or(self.ledger.site.product),
            services: self.catalogue.clone(),
            open: self.rules.open.iter().cloned().collect(),
            mode: self.ledger.mode,
        })
    }

    pub(super) fn why(&self, address: IpAddr, to: Option<Ports>, now: Time) -> Reply {
        let world = self.world(now);
        let address = address.to_canonical();
        let standing = Standing::of(&world, address);
        let reaches = self.reaches(address, now);
        let verdict = match to {
            Some(ports) => judge_port(&world, address, ports.protocol, ports.first),
            None => self.overall(address, now),
        };
        let mut blocks: Vec<_> =
            self.ledger.blocks_at(now).filter(|block| block.range.contains(address)).collect();
        blocks.sort_by_key(|block| block.range.width());
        Reply::Why(Why {
            address,
            to,
            passes: verdict.passes,
            reason: reason_word(&verdict).to_owned(),
            sentence: self.sentence(address, to, &verdict, now),
            reaches,
            accounts: standing.accounts.iter().map(|(account, _)| (*account).clone()).collect(),
            blocks: blocks.into_iter().cloned().collect(),
            lists: policy::listed(&world, &standing, address)
                .into_iter()
                .map(|listed| Holding { fetched: self.fetched_at(&listed), listed })
                .collect(),
        })
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
        let best = verdicts.iter().position(|verdict| verdict.passes).unwrap_or(0);
        verdicts.swap_remove(best)
    }

    fn sentence(&self, address: IpAddr, to: Option<Ports>, verdict: &Verdict, now: Time) -> String {
        let what = to.map_or_else(
            || "new connections".to_owned(),
            |ports| format!("new packets to {ports}"),
        );
        match &verdict.reason {
            Reason::Off => {
                "everything passes: the firewall is off (\"nightlatch up\" puts it up)".to_owned()
            }
            Reason::Blocked { range } => {
                let block = self.ledger.blocks.get(range);
                let told = block.map(|block| {
                    let until = block.until.map_or_else(
                        || "for ever".to_owned(),
                        |until| format!("until {until}, {} left", show_span(until.since(now))),
                    );
                    let reason = if block.reason.is_empty() {
                        String::new()
                    } else {
                        format!(": {}", block.reason)
                    };
                    format!(", set by {} at {}, {until}{reason}", block.by, block.since)
                });
                format!(
                    "{what} of {address} are dropped: {range} is blocked{}",
                    told.unwrap_or_default()
                )
            }
            Reason::Account { names } => {
                let told: Vec<String> = names
                    .iter()
                    .filter_map(|name| {
                        self.ledger.accounts.values().find(|a| a.name.as_str() == name)
                    })
                    .map(|account| {
                        let until = account.until.map_or_else(String::new, |until| {
                            format!(", until {until}, {} left", show_span(until.since(now)))
                        });
                        format!(
                            "account \"{}\" ({}), made by {} at {}{until}",
                            account.name, account.services, account.by, account.since
                        )
                    })
                    .collect();
                format!("{what} of {address} pass: {}", told.join("; "))
            }
            Reason::OpenService { service, limited } => format!(
                "{what} of {address} pass{}: in mode open, {service} answers strangers",
                if *limited { ", under the rate limits" } else { "" }
            ),
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
                    .map(|(account, _)| {
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

    pub(super) fn status(&self, now: Time) -> Reply {
        let strangers_reach = match self.ledger.mode {
            _ if !self.ledger.protection.stands() => vec!["everything".to_owned()],
            Mode::Allowlist => Vec::new(),
            Mode::Open => {
                let names = self.catalogue.with_brought(&self.rules.open);
                names.into_iter().map(|name| self.service_line(name)).collect()
            }
        };
        let soon = |what: String, until: Option<Time>| {
            until.filter(|until| *until <= now.after(A_DAY)).map(|until| Ending { what, until })
        };
        let accounts = self.ledger.accounts.values();
        let blocks = self.ledger.blocks.values();
        let mut ending: Vec<Ending> = accounts
            .filter_map(|account| soon(format!("account \"{}\"", account.name), account.until))
            .chain(
                blocks.filter_map(|block| soon(format!("block of {}", block.range), block.until)),
            )
            .collect();
        ending.sort_by_key(|ending| ending.until);
        Reply::Status(Box::new(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protection: self.ledger.protection.clone(),
            mode: self.ledger.mode,
            intact: self.kernel.trouble.is_none(),
            warnings: self.kernel.trouble.iter().cloned().collect(),
            strangers_reach,
            accounts: self.ledger.accounts.len(),
            blocks: self.ledger.blocks.len(),
            listed: self.merged.len(),
            listed_v6: self.merged.len_of(Family::V6),
            listed_bytes: if self.ledger.protection.stands() { self.merged_bytes } else { 0 },
            feeds: self.ledger.feeds.len(),
            countries: self.ledger.countries.named().len(),
            feed_troubles: self.feed_troubles(now),
            ending,
            restored: self.kernel.restored,
            restored_last: self.kernel.restored_last.clone(),
            ..Status::default()
        }))
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
    fn fetched_at(&self, listed: &Listed) -> Option<Time> {
        match listed {
            Listed::Feed { name, .. } => {
                self.ledger.feeds.get(name).and_then(|(_, state)| state.fetched)
            }
            Listed::Country { .. } => self.table_taken(),
        }
    }

    fn feed_troubles(&self, now: Time) -> Vec<String> {
        let troubled = self.ledger.feeds.values().filter_map(|(feed, state)| {
            let stale = state.is_stale(feed.every, now);
            let force = match state.fetched {
                None => ", and nothing of it is in force",
                Some(_) if stale => ", and what is in force is old",
                Some(_) => "",
            };
            (state.failures > 0 || stale)
                .then(|| format!("feed \"{}\": {}{force}", feed.name, state.result))
        });
        troubled.chain(self.country_trouble(now)).collect()
    }

    fn service_line(&self, name: &ServiceName) -> String {
        let service = self.catalogue.get(name);
        let ports: Vec<String> = service
            .into_iter()
            .flat_map(|service| &service.ports)
            .map(ToString::to_string)
            .collect();
        let limited = service.is_some_and(|service| service.limited);
        format!("{name} ({}){}", ports.join(", "), if limited { ", under rate limits" } else { "" })
    }
}

/// `203.0.113.7, office.example.net (203.0.113.8) for sip, web`; of long lists the beginning.
pub(super) fn entries_and_services(account: &Account) -> String {
    const SHOWN: usize = 5;
    let entries: Vec<String> = account.entries.iter().take(SHOWN).map(Entry::to_string).collect();
    let more = account.entries.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more} for {}", entries.join(", "), account.services)
}

fn judge_port(world: &World<'_>, address: IpAddr, protocol: Protocol, port: u16) -> Verdict {
    let what = match protocol {
        Protocol::Tcp => What::Tcp { port },
        // Any source port but those of DHCP servers, which are judged apart.
        Protocol::Udp => What::Udp { from: 1024, port },
    };
    judge_what(world, address, what)
}

fn judge_what(world: &World<'_>, address: IpAddr, what: What) -> Verdict {
    // Whoever asks for such an address means the host itself.
    let on_loopback = address.is_loopback();
    let packet = Packet { peer: address, to: To::Host, what, flow: Flow::New, on_loopback };
    policy::judge(world, &packet)
}

fn echo_request(address: IpAddr) -> What {
    match address {
        IpAddr::V4(_) => What::Icmp { kind: 8, code: 0 },
        IpAddr::V6(_) => What::Icmp6 { kind: 128, hop_limit: 64 },
    }
}
