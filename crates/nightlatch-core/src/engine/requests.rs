//! Accounts, blocks and the mode: what is asked, what is refused, what follows.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::plan::{Decision, Plan, no, wrong};
use super::{Engine, answers};
use crate::action::Unlearn;
use crate::address::merge;
use crate::api::{Caller, NewAccount, NewBlock, Refusal, Reply, Request};
use crate::audit::Record;
use crate::ledger::{Account, AccountName, Block, Change, Mode, is_over};
use crate::policy::{self, Packet, What, World};
use crate::service::{Grant, ServiceName};
use crate::time::{Time, show_span};
use crate::{AddrRange, Family, cut};

impl Engine {
    pub(super) fn decide(
        &mut self,
        caller: &Caller,
        request: Request,
        now: Time,
    ) -> Result<Decision, Refusal> {
        match request {
            Request::Up(up) => self.up(caller, up, now),
            Request::Confirm => self.confirm(caller, now),
            Request::Rollback => self.rollback(caller, now),
            Request::Down => Ok(self.down(caller)),
            Request::Allow(new) => self.allow(caller, new, now),
            Request::Remove { name, force } => self.remove(caller, &name, force, now),
            Request::Block(new) => self.block(caller, new, now),
            Request::Unblock { range } => self.unblock(caller, range),
            Request::Mode { mode, force } => self.mode(caller, mode, force, now),
            Request::Reload => Ok(Decision::ReadConfiguration),
            Request::ForgetPeer { address } => self.forget_peer(caller, address, now),
            Request::List => Ok(Decision::Answer(Reply::List {
                accounts: self.ledger.accounts.values().cloned().collect(),
                blocks: self.ledger.blocks.values().cloned().collect(),
            })),
            Request::Show { name } => {
                Ok(Decision::Answer(Reply::Account(self.account(&name)?.clone())))
            }
            Request::Services => Ok(Decision::Answer(self.services())),
            Request::Why { address, to } => Ok(Decision::Answer(self.why(address, to, now))),
            Request::FeedAdd(feed) => self.feed_add(caller, feed, now),
            Request::FeedRemove { name } => self.feed_remove(caller, &name),
            Request::FeedList => Ok(Decision::Answer(self.feed_list(now))),
            Request::FeedRefresh { name, force } => {
                self.feed_refresh(caller, name.as_ref(), force).map(Decision::Answer)
            }
            Request::CountryBlock { countries, force } => {
                self.country_block(caller, countries, force, now)
            }
            Request::CountryUnblock(countries) => self.country_unblock(caller, &countries, now),
            Request::CountryAllow { countries, force } => {
                self.country_allow(caller, countries, force, now)
            }
            Request::CountryList => Ok(Decision::Answer(self.country_list(now))),
            Request::CountryRefresh { force } => {
                self.country_refresh(caller, force, now).map(Decision::Answer)
            }
            Request::Status => Ok(Decision::Answer(Reply::Status(Box::new(self.status(now))))),
        }
    }

    fn account(&self, name: &AccountName) -> Result<&Account, Refusal> {
        self.ledger.accounts.get(name).ok_or_else(|| {
            no(format!("there is no account \"{name}\": \"nightlatch list\" shows all of them"))
        })
    }

    fn allow(&self, caller: &Caller, new: NewAccount, now: Time) -> Result<Decision, Refusal> {
        let account = self.new_account(caller, new, now)?;
        if let Some(there) = self.ledger.accounts.get(&account.name) {
            let name = &there.name;
            return Err(no(format!(
                "account \"{name}\" exists already ({}): use \"nightlatch show {name}\", remove it first, or take another name",
                answers::entries_and_services(there)
            )));
        }
        let mut message = format!(
            "account \"{}\" is open: {}",
            account.name,
            answers::entries_and_services(&account)
        );
        if let Some(until) = account.until {
            message += &format!(", until {until} ({})", show_span(until.since(now)));
        }
        for block in self.blocks_over(&account, now) {
            message += &format!(
                "\nattention: {} is blocked and stays shut out: \"nightlatch unblock {}\"",
                block.range, block.range
            );
        }
        message += &media_hint(&account);
        message += self.hint_of_off();
        let mut plan = Plan::new(caller, message);
        plan.records = vec![Record::new(caller, "allow", &account.name, &(), &account)];
        plan.changes = self.denials_ended_by(&account);
        plan.changes.push(Change::PutAccount(account));
        Ok(plan.decided())
    }

    /// The denials that an account ends: what it allows is no longer denied.
    pub(super) fn denials_ended_by(&self, account: &Account) -> Vec<Change> {
        let open = merge(account.ranges().collect());
        let over = open.iter().flat_map(|range| self.ledger.denials.over(*range));
        let ended = over.map(|(range, _)| range).filter(|range| cut::is_in(&open, range));
        ended.map(Change::DropDenial).collect()
    }

    /// Checks a new account and gives it its end.
    pub(super) fn new_account(
        &self,
        caller: &Caller,
        new: NewAccount,
        now: Time,
    ) -> Result<Account, Refusal> {
        let account = Account {
            name: new.name,
            entries: new.entries,
            services: new.services,
            until: new.lasts.map(|span| now.after(span)),
            note: new.note.chars().take(1000).collect(),
            since: now,
            by: caller.to_string(),
        };
        if account.ranges().next().is_none() {
            return Err(wrong(format!("account \"{}\" needs an address", account.name)));
        }
        if let Grant::Some(names) = &account.services {
            let unknown = names.iter().find(|name| self.catalogue.get(name).is_none());
            if let Some(unknown) = unknown {
                return Err(wrong(self.no_such_service(unknown)));
            }
            if names.is_empty() {
                return Err(wrong("name at least one service, or \"all\""));
            }
        }
        if let Some(own) = account.ranges().find(is_nobody_else) {
            return Err(wrong(format!(
                "{own} is the machine itself or nobody in particular: nobody comes in from there"
            )));
        }
        if let Some(wide) = account.ranges().find(is_everybody) {
            return Err(wrong(format!(
                "{wide} is a great part of the internet, and an account of it would let nearly everybody in: name the networks you trust, or use \"nightlatch mode open\""
            )));
        }
        Ok(account)
    }

    fn no_such_service(&self, name: &ServiceName) -> String {
        let known: Vec<&str> = self.catalogue.0.keys().map(ServiceName::as_str).collect();
        format!(
            "there is no service \"{name}\" on this server: write all, or some of {}",
            known.join(", ")
        )
    }

    fn blocks_over<'a>(
        &'a self,
        account: &'a Account,
        now: Time,
    ) -> impl Iterator<Item = &'a Block> {
        let over = account.ranges().flat_map(|range| {
            let over = self.ledger.blocks.over(range);
            over.filter(move |(block, _)| block.width() <= range.width())
        });
        let over = over.filter(|(_, block)| !is_over(block.until, now));
        let over: BTreeMap<AddrRange, &Block> = over.collect();
        over.into_values()
    }

    fn remove(
        &mut self,
        caller: &Caller,
        name: &AccountName,
        force: bool,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let account = self.account(name)?;
        let mut plan = Plan::new(caller, "");
        plan.records = vec![Record::new(caller, "remove", name, account, &())];
        plan.changes = vec![Change::DropAccount(name.clone())];
        let trunks = self.close(&mut plan, account, now);
        let mut message = format!(
            "account \"{name}\" is removed: {} is closed, running connections and media streams are cut",
            answers::entries_and_services(account),
        );
        for trunk in trunks {
            message += &format!(
                "\n{trunk} stays a trunk because this host is registered there; to close it too, use \"nightlatch block {trunk}\""
            );
        }
        plan.say(caller, message + self.hint_of_off());
        self.keep_caller(caller, &plan, force, now)?;
        Ok(plan.decided())
    }

    /// Denies the addresses of a removed or expired account everything that no other account grants,
    /// and cuts their running flows, even after a crash. Returns the trunks among them, which stay.
    pub(super) fn close(&self, plan: &mut Plan, account: &Account, now: Time) -> Vec<IpAddr> {
        let ranges: Vec<AddrRange> = account.ranges().collect();
        plan.cut_flows_of(&ranges);
        self.deny_removed(plan, account.name.as_str(), ranges, now)
    }

    fn block(&mut self, caller: &Caller, new: NewBlock, now: Time) -> Result<Decision, Refusal> {
        let NewBlock { range, lasts, reason, force } = new;
        self.may_be_blocked(range, force)?;
        let block = Block {
            range,
            until: lasts.map(|span| now.after(span)),
            reason: reason.chars().take(1000).collect(),
            since: now,
            by: caller.to_string(),
        };
        let mut message = format!("{range} is blocked");
        if let Some(until) = block.until {
            message += &format!(" until {until} ({})", show_span(until.since(now)));
        }
        message += &self.who_is_hit(&block, now);
        message += self.hint_of_off();
        let before = self.ledger.blocks.get(&range);
        let mut plan = Plan::new(caller, message);
        plan.records = vec![Record::new(caller, "block", range, &before, &block)];
        plan.changes = vec![Change::PutBlock(block)];
        // The kernel drops every packet of a block, running or not; what lies open within it
        // (a narrower account) keeps its services only, so other flows of it have to end.
        if self.ledger.accounts.over(range).next().is_some() {
            plan.cut_flows_of(&[range]);
        }
        plan.unlearn = vec![Unlearn::Within(vec![range])];
        self.keep_caller(caller, &plan, force, now)?;
        Ok(plan.decided())
    }

    fn may_be_blocked(&self, range: AddrRange, force: bool) -> Result<(), Refusal> {
        if is_everybody(&range) {
            return Err(wrong(format!(
                "{range} is a great part of the internet: to be invisible to everybody but your accounts, use \"nightlatch mode allowlist\""
            )));
        }
        let untouchable = UNTOUCHABLE.iter().find(|(network, _)| {
            network.parse::<AddrRange>().is_ok_and(|network| network.overlaps(&range))
        });
        if let Some((network, what)) = untouchable {
            return Err(wrong(format!(
                "{range} cannot be blocked: it reaches into {network}, {what}"
            )));
        }
        let guarded = self.ledger.site.guarded.iter().find(|(guarded, _)| guarded.overlaps(&range));
        match guarded {
            Some((guarded, what)) if !force => Err(no(format!(
                "{range} is not blocked: {guarded} is {what}, and the server needs it; if you are sure, add --force"
            ))),
            _ => Ok(()),
        }
    }

    /// Says which accounts a block shuts out, and which stay open inside it.
    fn who_is_hit(&self, block: &Block, now: Time) -> String {
        let mut text = String::new();
        let mut hit: BTreeMap<&AccountName, (bool, bool)> = BTreeMap::new();
        let over = self.ledger.accounts.over(block.range);
        for (range, account) in over.filter(|(_, account)| !is_over(account.until, now)) {
            let (shut, stays) = hit.entry(&account.name).or_default();
            *shut |= block.range.width() <= range.width();
            *stays |= block.range.width() > range.width();
        }
        for (name, (shut, stays)) in hit {
            if shut {
                text += &format!("\nattention: this shuts out addresses of account \"{name}\"");
            }
            if stays {
                text +=
                    &format!("\naccount \"{name}\" stays open: it is more specific than the block");
            }
        }
        text
    }

    fn unblock(&self, caller: &Caller, range: AddrRange) -> Result<Decision, Refusal> {
        let Some(block) = self.ledger.blocks.get(&range) else {
            let around = self.ledger.blocks.keys().find(|block| block.overlaps(&range));
            return Err(no(match around {
                Some(around) => format!(
                    "{range} itself is not blocked, but {around} is: \"nightlatch unblock {around}\""
                ),
                None => format!("{range} is not blocked: \"nightlatch list\" shows all blocks"),
            }));
        };
        let message = format!("{range} is no longer blocked{}", self.hint_of_off());
        let mut plan = Plan::new(caller, message);
        plan.records = vec![Record::new(caller, "unblock", range, block, &())];
        plan.changes = vec![Change::DropBlock(range)];
        // Finds addresses that are registered at the PBX without an account right away.
        plan.ask_pbx = true;
        Ok(plan.decided())
    }

    fn mode(
        &mut self,
        caller: &Caller,
        mode: Mode,
        force: bool,
        now: Time,
    ) -> Result<Decision, Refusal> {
        let before = self.ledger.mode;
        if before == mode {
            return Ok(Decision::Answer(Reply::Done {
                message: format!("the mode is {mode} already"),
            }));
        }
        let message = match mode {
            Mode::Allowlist => {
                "the mode is allowlist now: strangers are dropped, including their established signalling; media streams to which this host sends continue".to_owned()
            }
            Mode::Open => {
                let open: Vec<&str> = self.rules.open.iter().map(ServiceName::as_str).collect();
                format!(
                    "the mode is open now: strangers reach {}, under rate limits",
                    open.join(", ")
                )
            }
        };
        let mut plan = Plan::new(caller, message + self.hint_of_off());
        plan.records = vec![Record::new(caller, "mode", "mode", &before, &mode)];
        plan.changes = vec![Change::SetMode(mode)];
        match mode {
            Mode::Allowlist => self.close_signalling(&mut plan, now),
            Mode::Open => plan.changes.extend(self.unlisted_allowed(&self.rules)),
        }
        self.keep_caller(caller, &plan, force, now)?;
        Ok(plan.decided())
    }

    /// What to know of every change while no firewall stands.
    pub(super) fn hint_of_off(&self) -> &'static str {
        if self.ledger.protection.stands() {
            return "";
        }
        "\nthe firewall is OFF: this counts when \"nightlatch up\" puts it up"
    }

    /// Refuses a plan that would end the caller's own session.
    fn keep_caller(
        &mut self,
        caller: &Caller,
        plan: &Plan,
        force: bool,
        now: Time,
    ) -> Result<(), Refusal> {
        match self.ends_session(caller, plan, now).filter(|_| !force) {
            Some(origin) => Err(no(format!(
                "nothing was changed: this would end your own session from {origin}; allow {origin} in another account first, or add --force"
            ))),
            None => Ok(()),
        }
    }

    /// Where the caller came from, if a plan would shut out that address, which comes in now.
    ///
    /// The plan's changes are made for the moment of the question, and taken back.
    pub(super) fn ends_session(
        &mut self,
        caller: &Caller,
        plan: &Plan,
        now: Time,
    ) -> Option<IpAddr> {
        let origin = caller.origin.filter(|origin| reaches_ssh(&self.world(now), *origin))?;
        let made: Vec<Change> =
            plan.changes.iter().map(|change| self.ledger.apply(change.clone())).collect();
        let rules = plan.rules.as_ref().unwrap_or(&self.rules);
        let catalogue = &rules.catalogue(&self.ledger.site);
        let after = World { rules, catalogue, ..self.world(now) };
        let still_comes_in = reaches_ssh(&after, origin);
        for change in made.into_iter().rev() {
            let _ = self.ledger.apply(change);
        }
        (!still_comes_in).then_some(origin)
    }
}

/// Carriers often send media from addresses other than those of their signalling. Without an account,
/// early media (ringback, announcements) from there are dropped.
fn media_hint(account: &Account) -> String {
    let signalling = ["sip", "sip-tls"].map(ServiceName::known);
    match &account.services {
        Grant::Some(names) if signalling.iter().any(|name| names.contains(name)) => format!(
            "\nif this is a carrier that sends media from other addresses, allow those too: \"nightlatch allow {}-media NETWORK --services rtp\"",
            account.name
        ),
        _ => String::new(),
    }
}

/// Whether the address may begin an SSH session.
pub(super) fn reaches_ssh(world: &World<'_>, address: IpAddr) -> bool {
    let ssh = world.catalogue.opening([&ServiceName::known("ssh")]);
    ssh.ports.iter().any(|ports| {
        let what = What::Tcp { port: ports.first };
        policy::judge(world, &Packet::new(address, what)).passes
    })
}

/// Networks that no block may touch: the host would lose itself or its link.
const UNTOUCHABLE: [(&str, &str); 5] = [
    ("127.0.0.0/8", "the loopback network"),
    ("::1", "the loopback address"),
    ("fe80::/10", "the link's own addresses"),
    ("169.254.0.0/16", "the link's own addresses"),
    ("224.0.0.0/4", "multicast"),
];

/// Whether a range lies where no peer has its address: loopback, "this host", multicast.
fn is_nobody_else(range: &AddrRange) -> bool {
    const NOBODY: [&str; 6] = ["127.0.0.0/8", "0.0.0.0/8", "224.0.0.0/3", "::1", "::", "ff00::/8"];
    NOBODY
        .iter()
        .any(|network| network.parse::<AddrRange>().is_ok_and(|network| network.covers(range)))
}

/// Whether a range is so wide that no list should hold it: wider than a /5 of IPv4, a /11 of IPv6.
fn is_everybody(range: &AddrRange) -> bool {
    let most = match range.family() {
        Family::V4 => 27,
        Family::V6 => 117,
    };
    range.width() >> most != 0
}
