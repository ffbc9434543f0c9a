//! From the survey to the request and the plan on the screen.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nightlatch_core::AddrRange;
use nightlatch_core::action::Flows;
use nightlatch_core::api::{NewAccount, Up};
use nightlatch_core::config::Rules;
use nightlatch_core::cut::{Began, Cutter, LiveFlow, PortUses};
use nightlatch_core::ledger::{AccountName, Entry, Ledger, Mode, Protection, Site};
use nightlatch_core::lists::Lists;
use nightlatch_core::pbx::PbxPeers;
use nightlatch_core::policy::{self, Packet, What, World};
use nightlatch_core::product::Product;
use nightlatch_core::service::{Grant, Ports, Protocol, ServiceName};
use nightlatch_core::signalling::Learned;
use nightlatch_core::time::Time;
use serde::Serialize;

use super::media::{self, Media};
use super::survey::{CutLine, FlowContext, Proposal, Survey, describe};
use super::trunks::{Known, Trunks};
use crate::shell::streams::Stream;

/// What `up` is about to do, for the screen and as JSON.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plan {
    /// The telephone server, and how it was found.
    pub(super) server: String,
    /// What strangers will meet.
    pub(super) mode: Mode,
    /// Who comes in, and why.
    pub(super) stays: Vec<String>,
    /// What strangers reach now and will no longer.
    pub(super) strangers_lose: Vec<String>,
    /// What strangers will still reach.
    pub(super) strangers_keep: Vec<String>,
    /// Live connections that would end.
    pub(super) would_cut: Vec<CutLine>,
    /// Live connections that continue although no account allows them, because this machine may have
    /// begun them.
    pub(super) unknown_continue: Vec<CutLine>,
    /// Live VPN connections that continue although no account allows them.
    pub(super) vpn_continue: Vec<CutLine>,
    /// Running media streams, and which of them continue.
    pub(super) running_media: Media,
    /// Trunks and phones that the PBX reports.
    pub(super) trunks: Trunks,
    /// Networks that stay out though one might expect them in.
    pub(super) left_out: Vec<String>,
    /// Other firewalls.
    pub(super) firewalls: Vec<String>,
    /// What to know before saying yes.
    pub(super) warnings: Vec<String>,
}

/// What is running on the machine.
pub(super) struct Live<'a> {
    /// Its flows.
    pub(super) flows: Vec<LiveFlow>,
    /// The media streams that were seen, or why they could not be captured.
    pub(super) streams: Result<Vec<Stream>, String>,
    /// What the PBX reports.
    pub(super) pbx: Known<'a>,
    /// The peers that will be known.
    pub(super) learned: Learned,
}

/// The account of whoever ran `up`.
const ADMIN: &str = "admin";

/// What `up` asks of the daemon.
pub(super) fn request(
    survey: &Survey,
    proposal: &Proposal,
    mode: Option<Mode>,
    extra: &[AddrRange],
    pbx: PbxPeers,
) -> Up {
    let mut accounts: Vec<NewAccount> = proposal
        .accounts
        .iter()
        .filter_map(|account| new_account(&account.name, &account.addresses, &account.note))
        .collect();
    if !extra.is_empty() {
        let given = new_account(ADMIN, extra, "given to nightlatch up");
        match accounts.iter_mut().find(|account| account.name.as_str() == ADMIN) {
            Some(admin) => admin.entries.extend(extra.iter().map(|range| Entry::Range(*range))),
            None => accounts.extend(given),
        }
    }
    Up { mode, accounts, site: site(survey, proposal), trial: None, dry_run: false, pbx }
}

/// An account "admin" that exists stays as it is; who comes in by it now and did not before gets
/// an account of another name, or a second `up` from elsewhere would shut its caller out.
pub(super) fn name_apart(up: &mut Up, ledger: &Ledger) {
    if !ledger.accounts.keys().any(|name| name.as_str() == ADMIN) {
        return;
    }
    let Some(admin) = up.accounts.iter_mut().find(|new| new.name.as_str() == ADMIN) else {
        return;
    };
    let lasting = ledger
        .accounts
        .values()
        .filter(|account| account.until.is_none() && account.services == Grant::All);
    let known: Vec<AddrRange> =
        lasting.flat_map(nightlatch_core::ledger::Account::ranges).collect();
    admin.entries.retain(|entry| match entry {
        Entry::Range(range) => !known.iter().any(|known| known.covers(range)),
        Entry::Host { .. } => true,
    });
    let free = (2..).filter_map(|number| format!("{ADMIN}-{number}").parse::<AccountName>().ok());
    if let Some(name) = free.into_iter().find(|name| !ledger.accounts.contains_key(name)) {
        admin.name = name;
    }
    up.accounts.retain(|new| !new.entries.is_empty());
}

fn new_account(name: &str, addresses: &[AddrRange], note: &str) -> Option<NewAccount> {
    Some(NewAccount {
        name: name.parse::<AccountName>().ok()?,
        entries: addresses.iter().map(|range| Entry::Range(*range)).collect(),
        services: Grant::All,
        lasts: None,
        note: note.to_owned(),
    })
}

fn site(survey: &Survey, proposal: &Proposal) -> Site {
    let mut services: BTreeMap<ServiceName, Vec<Ports>> = BTreeMap::new();
    let mut found = |name: &str, ports: Vec<Ports>| {
        if let (Ok(name), false) = (name.parse(), ports.is_empty()) {
            services.insert(name, ports);
        }
    };
    let tcp = |port: &u16| Ports::new(Protocol::Tcp, *port, *port);
    found("ssh", proposal.ssh.iter().map(tcp).collect());
    let sip = |tls: bool| {
        let ports = proposal.sip.iter().filter(move |port| port.tls == tls);
        ports.map(|port| Ports::new(port.protocol, port.port, port.port)).collect()
    };
    found("sip", sip(false));
    found("sip-tls", sip(true));
    let rtp = proposal.rtp.iter().map(|range| Ports::new(Protocol::Udp, range.first, range.last));
    found("rtp", rtp.collect());
    Site { product: proposal.product.unwrap_or_default(), services, guarded: guarded(survey) }
}

/// What no block may shut out by mistake.
fn guarded(survey: &Survey) -> Vec<(AddrRange, String)> {
    let word = |word: &str| word.to_owned();
    let own = survey.own_addresses().map(|address| (address, word("this machine's own address")));
    let gateways = survey.gateways.iter().map(|gateway| (gateway.address, word("the gateway")));
    let resolvers = survey.resolvers.iter().map(|address| (*address, word("the resolver")));
    let times = survey.time_servers.iter().filter_map(|server| server.parse().ok());
    let times = times.map(|address| (address, word("the time server")));
    own.chain(gateways)
        .chain(resolvers)
        .chain(times)
        .filter(|(address, _)| !address.is_loopback())
        .map(|(address, what)| (AddrRange::from(address), what))
        .collect()
}

/// The ledger as it will be, to judge with before anything happens.
pub(super) fn ledger_after(mut ledger: Ledger, up: &Up, now: Time) -> Ledger {
    for new in &up.accounts {
        let account = nightlatch_core::ledger::Account {
            name: new.name.clone(),
            entries: new.entries.clone(),
            services: new.services.clone(),
            until: None,
            note: new.note.clone(),
            since: now,
            by: String::new(),
        };
        if !ledger.accounts.contains_key(&account.name) {
            ledger.accounts.put(account);
        }
    }
    ledger.mode = up.mode.unwrap_or(ledger.mode);
    ledger.site = up.site.clone();
    ledger.protection = Protection::On { since: now };
    ledger
}

/// The plan in words.
pub(super) fn plan(
    survey: &Survey,
    proposal: &Proposal,
    live: Live<'_>,
    ledger: &Ledger,
    rules: &Rules,
    now: Time,
) -> Plan {
    let Live { mut flows, streams: seen, pbx, learned } = live;
    let catalogue = rules.catalogue(&ledger.site);
    let lists = Lists::default();
    let world =
        World { ledger, rules, catalogue: &catalogue, lists: &lists, learned: &learned, now };
    let cutter = Cutter::new(world, Flows::BegunByPeers);
    let ends = |flow: &LiveFlow| cutter.must_end(flow) || cutter.denies_signalling(flow);
    let uses = PortUses::of(&catalogue);
    let mut context = FlowContext::of(survey);
    context.rtp = context.rtp.or_else(|| uses.media_range());
    media::join(&mut flows, seen.as_deref().unwrap_or_default());
    let flows = flows.as_slice();
    let running_media = Media::of(seen, flows, &uses, &cutter);
    let (lose, keep) = exposure(survey, &world);
    Plan {
        server: server(proposal, rules.product),
        mode: ledger.mode,
        stays: stays(ledger, proposal),
        strangers_lose: lose,
        strangers_keep: keep,
        would_cut: describe(&context, flows, ends),
        unknown_continue: describe(&context, flows, |flow| cutter.continues_unknown(flow)),
        vpn_continue: describe(&context, flows, |flow| cutter.continues_as_vpn(flow)),
        running_media,
        trunks: Trunks::of(&pbx, ledger, &catalogue, now),
        left_out: proposal
            .left_out
            .iter()
            .map(|out| format!("{}: {}", out.network, out.reason))
            .collect(),
        firewalls: survey
            .firewalls
            .iter()
            .map(|other| format!("{}: {}", other.name, other.effect))
            .collect(),
        warnings: proposal.warnings.iter().map(|warning| warning.text.clone()).collect(),
    }
}

fn server(proposal: &Proposal, configured: Option<Product>) -> String {
    match (configured, proposal.product) {
        (Some(product), _) => format!("{product} (as configured)"),
        (None, Some(product)) => format!("{product} ({})", proposal.product_reason),
        (None, None) => "none found; the usual ports of Asterisk are assumed".to_owned(),
    }
}

fn stays(ledger: &Ledger, proposal: &Proposal) -> Vec<String> {
    let reason = |name: &str| {
        let proposed = proposal.accounts.iter().find(|account| account.name == name);
        proposed.map(|account| account.reason.clone())
    };
    let line = |account: &nightlatch_core::ledger::Account| {
        let entries: Vec<String> = account.entries.iter().map(Entry::to_string).collect();
        let why = reason(account.name.as_str()).unwrap_or_else(|| account.note.clone());
        let why = if why.is_empty() { String::new() } else { format!(" - {why}") };
        format!("{}: {} for {}{why}", account.name, entries.join(", "), account.services)
    };
    ledger.accounts.values().map(line).collect()
}

/// The caller's address, if he could not come in by SSH any more: a block may be held against it.
pub(super) fn shut_out(
    survey: &Survey,
    proposal: &Proposal,
    ledger: &Ledger,
    rules: &Rules,
    now: Time,
) -> Option<IpAddr> {
    // Where nobody was found who came from outside, there is no account of his either.
    proposal.accounts.iter().find(|account| account.name == ADMIN)?;
    let peer = survey.caller.address?;
    let port = survey.caller.ssh_port.or(proposal.ssh.first().copied()).unwrap_or(22);
    let catalogue = rules.catalogue(&ledger.site);
    let lists = Lists::default();
    let learned = Learned::default();
    let world =
        World { ledger, rules, catalogue: &catalogue, lists: &lists, learned: &learned, now };
    let protocol = Protocol::Tcp;
    let session = new_flow(peer, protocol, port);
    (!lets_in(&world, &session)).then_some(peer)
}

/// Whether a connection of the flow's peer would be let in.
pub(super) fn lets_in(world: &World<'_>, flow: &LiveFlow) -> bool {
    let what = match flow.protocol {
        Protocol::Tcp => What::Tcp { port: flow.local_port },
        Protocol::Udp => What::Udp { from: flow.peer_port, port: flow.local_port },
    };
    let packet = Packet::new(flow.peer, what);
    policy::judge(world, &packet).passes
}

/// A hypothetical flow begun by a peer.
fn new_flow(peer: IpAddr, protocol: Protocol, local_port: u16) -> LiveFlow {
    let (peer_port, began) = (1024, Began::Peer);
    LiveFlow { protocol, peer, peer_port, local_port, began, host_sends: false }
}

/// What listens for everybody: what strangers lose, and what they keep.
fn exposure(survey: &Survey, world: &World<'_>) -> (Vec<String>, Vec<String>) {
    // An address of documentation stands for any stranger.
    let stranger = std::net::Ipv4Addr::new(192, 0, 2, 1);
    let mut seen = std::collections::BTreeMap::new();
    for socket in survey.sockets.iter().filter(|socket| !socket.only_loopback) {
        let key = (socket.protocol, socket.port);
        let program = socket.program.clone().unwrap_or_else(|| "unknown program".to_owned());
        seen.entry(key).or_insert(program);
    }
    let published = survey.published.iter().filter_map(|port| {
        Some((
            (port.protocol?, port.first?),
            format!("container {}", port.to.as_deref().unwrap_or("port")),
        ))
    });
    seen.extend(published);
    let (keep, lose): (Vec<_>, Vec<_>) = seen.into_iter().partition(|((protocol, port), _)| {
        lets_in(world, &new_flow(stranger.into(), *protocol, *port))
    });
    let line = |((protocol, port), program): ((Protocol, u16), String)| {
        format!("{protocol}/{port} ({program})")
    };
    (lose.into_iter().map(line).collect(), keep.into_iter().map(line).collect())
}

impl Plan {
    /// The plan for the screen.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("Telephone server: {}", self.server)];
        let mode = match self.mode {
            Mode::Allowlist => "allowlist: for strangers this machine will not exist",
            Mode::Open => {
                "open: chosen services answer strangers, under rate limits; all else is silent"
            }
        };
        lines.push(format!("Mode: {mode}"));
        let sections = [
            ("These come in", &self.stays),
            ("These stay out", &self.left_out),
            ("Strangers still reach", &self.strangers_keep),
            ("Strangers lose", &self.strangers_lose),
            ("Other firewalls on this machine", &self.firewalls),
            ("Attention", &self.warnings),
        ];
        for (title, entries) in sections {
            section(&mut lines, title, entries.iter().map(String::as_str));
        }
        for (title, entries) in self.trunks.sections() {
            section(&mut lines, title, entries.iter().map(String::as_str));
        }
        if self.stays.is_empty() && self.mode == Mode::Allowlist {
            lines.push("NOBODY comes in: there is no account yet".to_owned());
        }
        let media = self.running_media.lines();
        section(&mut lines, "Running media streams", media.iter().map(String::as_str));
        let cut = self.would_cut.iter().map(|line| line.text.as_str());
        section(&mut lines, "LIVE CONNECTIONS THAT WILL END", cut);
        if self.would_cut.is_empty() {
            lines.push("No live connection that could be seen will end.".to_owned());
        }
        let unknown = self.unknown_continue.iter().map(|line| line.text.as_str());
        section(
            &mut lines,
            "Connections that continue because this machine may have begun them",
            unknown,
        );
        let vpn: Vec<String> = self.vpn_continue.iter().map(|line| line.text.clone()).collect();
        section(
            &mut lines,
            "VPN connections that continue although no account allows them",
            vpn.iter().map(String::as_str),
        );
        lines.push(
            "What this machine begins itself (calls to carriers, DNS, updates) goes on working."
                .to_owned(),
        );
        lines
    }
}

fn section<'a>(lines: &mut Vec<String>, title: &str, entries: impl Iterator<Item = &'a str>) {
    const SHOWN: usize = 30;
    let entries: Vec<&str> = entries.collect();
    if entries.is_empty() {
        return;
    }
    lines.push(format!("{title}:"));
    lines.extend(entries.iter().take(SHOWN).map(|entry| format!("  {entry}")));
    if let Some(more) = entries.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("  and {more} more"));
    }
}
