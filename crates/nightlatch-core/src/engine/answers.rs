//! Answers to those who only ask.

use std::time::Duration;

use super::Engine;
use super::peers::known_peer;
use crate::Family;
use crate::api::{Ending, KnownPeer, MAX_LISTED_PEERS, Reply, Services, Status};
use crate::ledger::{Account, Entry, Mode};
use crate::ruleset::ListSets;
use crate::service::ServiceName;
use crate::signalling::LearnedBy;
use crate::time::Time;

const A_DAY: Duration = Duration::from_secs(86_400);

impl Engine {
    pub(super) fn services(&self) -> Reply {
        Reply::Services(Services {
            product: self.rules.product.unwrap_or(self.ledger.site.product),
            services: (*self.catalogue).clone(),
            open: self.rules.open.iter().cloned().collect(),
            mode: self.ledger.mode,
        })
    }

    /// How things stand, without the kernel's counters.
    pub(super) fn status(&mut self, now: Time) -> Status {
        let listed_bytes = match self.ledger.protection.stands() {
            true => self.merged_bytes(),
            false => 0,
        };
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
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protection: self.ledger.protection.clone(),
            mode: self.ledger.mode,
            intact: self.projection.trouble.is_none(),
            warnings: self.projection.trouble.iter().cloned().chain(self.pbx_trouble()).collect(),
            strangers_reach,
            accounts: self.ledger.accounts.len(),
            blocks: self.ledger.blocks.len(),
            listed: self.merged.len(),
            listed_v6: self.merged.len_of(Family::V6),
            listed_bytes,
            feeds: self.ledger.feeds.len(),
            countries: self.ledger.countries.named().len(),
            feed_troubles: self.feed_troubles(now),
            known_peers: self.shown_peers(now),
            known_peer_count: self.learned.at(now).count(),
            denials: self.ledger.denials.values().take(MAX_LISTED_PEERS).cloned().collect(),
            denial_count: self.ledger.denials.len(),
            pbx_answered: self.pbx.answered,
            ending,
            restored: self.restored,
            restored_last: self.restored_last.clone(),
            ..Status::default()
        }
    }

    /// What the lists need in the kernel: worked out when somebody asks, because they may be long.
    fn merged_bytes(&mut self) -> u64 {
        let merged = &self.merged;
        let bytes = || ListSets::suiting(merged).kernel_bytes(merged);
        *self.merged_bytes.get_or_insert_with(bytes)
    }

    /// The known peers of an answer: the host's registrations come first, so that no crowd of others
    /// hides a trunk.
    fn shown_peers(&self, now: Time) -> Vec<KnownPeer> {
        const ORDER: [LearnedBy; 4] = [
            LearnedBy::Registered,
            LearnedBy::RegisteredByTcp,
            LearnedBy::Called,
            LearnedBy::Asked,
        ];
        let of = |by| self.learned.at(now).filter(move |(peer, _)| peer.by == by);
        let peers = ORDER.into_iter().flat_map(of).take(MAX_LISTED_PEERS);
        peers.map(|(peer, until)| known_peer(peer, until)).collect()
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
