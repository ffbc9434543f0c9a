//! From the survey to the request and the plan on the screen.

use std::collections::{BTreeMap, BTreeSet};

use nightlatch_core::AddrRange;
use nightlatch_core::cut::PortUses;
use nightlatch_core::features::accounts::{Account, AccountName, Entry, HostOptions, NewAccount};
use nightlatch_core::features::{self, countries, feeds, firewall};
use nightlatch_core::pbx::PbxPeers;
use nightlatch_core::policy::Reason;
use nightlatch_core::posture::{Mode, OWN_ADDRESS, Site};
use nightlatch_core::probe::{CallerFinding, Fate, PortFinding, Probe, SshCaller};
use nightlatch_core::product::Product;
use nightlatch_core::service::{Catalogue, Grant, Ports, Protocol, ServiceName};
use serde::Serialize;

use super::dry_run::DryRun;
use super::media::Media;
use super::survey::{CutLine, FlowContext, Proposal, Survey, describe};
use super::trunks::{Known, Trunks};
use super::wanted::Wanted;
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
    /// Live connections of which it is unknown what happens to them: there are too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_examined: Option<usize>,
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
    /// The media streams that were seen, or why they could not be captured.
    pub(super) streams: Result<Vec<Stream>, String>,
    /// What the PBX reports, and the flows after [`media::join`].
    pub(super) pbx: Known<'a>,
}

/// The account of whoever ran `up`.
const ADMIN: &str = "admin";

/// What `up` asks for.
pub(super) fn wanted(
    survey: &Survey,
    proposal: &Proposal,
    mode: Option<Mode>,
    extra: &[AddrRange],
    pbx: PbxPeers,
) -> Wanted {
    let accounts = proposal.accounts.iter();
    let mut accounts: Vec<NewAccount> = accounts
        .filter_map(|account| new_account(&account.name, &account.addresses, &account.note))
        .collect();
    let at = accounts.iter().position(|account| account.name.as_str() == ADMIN);
    let mut admin = at.map(|at| accounts.remove(at));
    if let Some(admin) = &mut admin {
        admin.entries.extend(extra.iter().map(|range| Entry::Range(*range)));
    } else if !extra.is_empty() {
        admin = new_account(ADMIN, extra, "given to nightlatch up");
    }
    let up = firewall::Up { mode, site: site(survey, proposal), trial: None, pbx };
    Wanted { admin, accounts, up, caller: caller(survey, proposal) }
}

/// What the engine is to judge.
pub(super) fn probe(
    survey: &Survey,
    proposal: &Proposal,
    pbx: &Known<'_>,
    catalogue: &Catalogue,
) -> Probe {
    Probe {
        caller: caller(survey, proposal),
        flows: pbx.flows.to_vec(),
        ports: listening(survey).into_keys().collect(),
        ranges: pbx.ranges(catalogue).into_iter().collect(),
    }
}

/// Where the caller came from, if from outside.
fn caller(survey: &Survey, proposal: &Proposal) -> Option<SshCaller> {
    // Where nobody was found who came from outside, there is no account of his either.
    proposal.accounts.iter().find(|account| account.name == ADMIN)?;
    let address = survey.caller.address?;
    let port = survey.caller.ssh_port.or(proposal.ssh.first().copied()).unwrap_or(22);
    Some(SshCaller { address, port })
}

fn new_account(name: &str, addresses: &[AddrRange], note: &str) -> Option<NewAccount> {
    Some(NewAccount {
        hours: None,
        name: name.parse::<AccountName>().ok()?,
        entries: addresses.iter().map(|range| Entry::Range(*range)).collect(),
        services: Grant::All,
        lasts: None,
        until: None,
        note: note.to_owned(),
        hosts: HostOptions::default(),
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
    let own = survey.own_addresses().map(|address| (address, word(OWN_ADDRESS)));
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

/// The plan in words.
pub(super) fn plan(
    survey: &Survey,
    proposal: &Proposal,
    live: Live<'_>,
    dry_run: &DryRun,
    configured: Option<Product>,
    catalogue: &Catalogue,
) -> Plan {
    let Live { streams, pbx } = live;
    let DryRun { answer, accounts, found, flows: fates, .. } = dry_run;
    let mut context = FlowContext::of(survey);
    context.rtp = context.rtp.or_else(|| PortUses::of(catalogue).media_range());
    let flows = |is_so: fn(Fate) -> bool| {
        describe(&context, pbx.flows, |flow| fates.get(flow).is_some_and(|it| is_so(it.fate)))
    };
    let (lose, keep) = exposure(survey, &found.ports);
    let allowed = pbx.ranges(catalogue).into_iter().zip(found.ranges.iter().copied()).collect();
    let warnings = proposal.warnings.iter().map(|warning| warning.text.clone());
    Plan {
        server: server(proposal, configured),
        mode: answer.mode,
        stays: stays(accounts, proposal),
        strangers_lose: lose,
        strangers_keep: keep,
        would_cut: flows(Fate::is_lost),
        unknown_continue: flows(|fate| fate == Fate::ContinuesUnknown),
        vpn_continue: flows(|fate| fate == Fate::ContinuesAsVpn),
        not_examined: Some(dry_run.not_examined).filter(|number| *number > 0),
        running_media: Media::of(streams, fates),
        trunks: Trunks::of(&pbx, &allowed, catalogue, answer.mode),
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
        warnings: warnings.chain(found.caller.iter().filter_map(warning_of_caller)).collect(),
    }
}

/// What the caller must know of his own address.
fn warning_of_caller(caller: &CallerFinding) -> Option<String> {
    let address = caller.address;
    let lists: Vec<String> = caller.about.iter().flat_map(lists_in_words).collect();
    if let Some(reason) = &caller.shut_out {
        let by = match reason {
            Reason::Blocked { range } => format!("{range} is blocked"),
            Reason::Banned { range, .. } => format!("{range} is banned"),
            Reason::Listed => lists.join(", "),
            Reason::Denied { .. } => "its account was removed".to_owned(),
            _ => "no account allows it".to_owned(),
        };
        return Some(format!(
            "new SSH connections from your address {address} will be dropped: {by}"
        ));
    }
    (!lists.is_empty()).then(|| {
        format!(
            "your address {address} is on a list ({}): only its account allows it",
            lists.join(", ")
        )
    })
}

/// The lists that hold an address.
fn lists_in_words(reply: &features::Reply) -> Vec<String> {
    match reply {
        features::Reply::Feeds(feeds::Reply::Held(feeds)) => feeds
            .iter()
            .map(|held| format!("feed \"{}\" lists {}", held.name, held.entry))
            .collect(),
        features::Reply::Countries(countries::Reply::Held(held)) => vec![match held.country {
            Some(country) => format!("its country {country} is not allowed"),
            None => "it belongs to no country of the table".to_owned(),
        }],
        _ => Vec::new(),
    }
}

fn server(proposal: &Proposal, configured: Option<Product>) -> String {
    match (configured, proposal.product) {
        (Some(product), _) => format!("{product} (as configured)"),
        (None, Some(product)) => format!("{product} ({})", proposal.product_reason),
        (None, None) => "none found; the usual ports of Asterisk are assumed".to_owned(),
    }
}

fn stays(accounts: &[Account], proposal: &Proposal) -> Vec<String> {
    let reason = |name: &str| {
        let proposed = proposal.accounts.iter().find(|account| account.name == name);
        proposed.map(|account| account.reason.clone())
    };
    let line = |account: &Account| {
        let entries: Vec<String> = account.entries.iter().map(Entry::to_string).collect();
        let why = reason(account.name.as_str()).unwrap_or_else(|| account.note.clone());
        let why = if why.is_empty() { String::new() } else { format!(" - {why}") };
        format!("{}: {} for {}{why}", account.name, entries.join(", "), account.services)
    };
    accounts.iter().map(line).collect()
}

/// What listens for everybody: the port, and the program behind it.
fn listening(survey: &Survey) -> BTreeMap<(Protocol, u16), String> {
    let mut seen = BTreeMap::new();
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
    seen
}

/// Of what listens, what strangers lose, and what they keep.
fn exposure(survey: &Survey, found: &[PortFinding]) -> (Vec<String>, Vec<String>) {
    let keep = found.iter().filter(|found| found.after);
    let keep: BTreeSet<_> = keep.map(|found| (found.protocol, found.port)).collect();
    let (keep, lose): (Vec<_>, Vec<_>) =
        listening(survey).into_iter().partition(|(port, _)| keep.contains(port));
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
            Mode::Allowlist => "allowlist: packets of strangers will be dropped",
            Mode::Open => {
                "open: selected services are open to strangers, under rate limits; everything else is dropped"
            }
        };
        lines.push(format!("Mode: {mode}"));
        let sections = [
            ("Will be allowed", &self.stays),
            ("Will not be allowed", &self.left_out),
            ("Strangers can still reach", &self.strangers_keep),
            ("Strangers can no longer reach", &self.strangers_lose),
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
            lines.push("NOBODY will be allowed: there is no account yet".to_owned());
        }
        let media = self.running_media.lines();
        section(&mut lines, "Running media streams", media.iter().map(String::as_str));
        let cut = self.would_cut.iter().map(|line| line.text.as_str());
        section(&mut lines, "LIVE CONNECTIONS THAT WILL END", cut);
        if let Some(number) = self.not_examined {
            lines.push(format!(
                "{number} further connections were not examined: whether they end is unknown."
            ));
        } else if self.would_cut.is_empty() {
            lines.push("No live connection that could be seen will end.".to_owned());
        }
        let unknown = self.unknown_continue.iter().map(|line| line.text.as_str());
        section(
            &mut lines,
            "Connections that continue because this machine may have initiated them",
            unknown,
        );
        let vpn: Vec<String> = self.vpn_continue.iter().map(|line| line.text.clone()).collect();
        section(
            &mut lines,
            "VPN connections that continue although no account allows them",
            vpn.iter().map(String::as_str),
        );
        lines
            .push("Outgoing traffic (calls to carriers, DNS, updates) is not affected.".to_owned());
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

#[cfg(test)]
mod tests {
    use nightlatch_core::probe::Findings;

    use super::super::dry_run::Answer;
    use super::*;
    use crate::shell::pbx::PbxAnswer;

    #[test]
    fn what_was_not_examined_is_unknown() {
        let lines = |not_examined| {
            let dry_run = DryRun {
                answer: Answer { mode: Mode::Allowlist, is_on_trial: false },
                stood: false,
                accounts: Vec::new(),
                found: Findings::default(),
                flows: BTreeMap::new(),
                not_examined,
            };
            let answer = PbxAnswer::default();
            let pbx =
                Known { answer: &answer, trunks: &[], named: &[], is_there: false, flows: &[] };
            let live = Live { streams: Ok(Vec::new()), pbx };
            let (survey, catalogue) = (Survey::default(), Catalogue::default());
            plan(&survey, &Proposal::default(), live, &dry_run, None, &catalogue).lines()
        };
        let none = "No live connection that could be seen will end.".to_owned();
        assert!(lines(0).contains(&none));
        let some = lines(3);
        assert!(!some.contains(&none), "{some:?}");
        let unknown = "3 further connections were not examined: whether they end is unknown.";
        assert!(some.iter().any(|line| line == unknown), "{some:?}");
    }

    #[test]
    fn the_caller_hears_why_his_address_is_closed() {
        let address = "203.0.113.7".parse().unwrap();
        let range: AddrRange = "203.0.113.0/24".parse().unwrap();
        let feed = feeds::Held { name: "bad".parse().unwrap(), entry: range, fetched: None };
        let feed = features::Reply::from(feeds::Reply::Held(vec![feed]));
        let country = countries::Held { country: "CN".parse().ok(), entry: None, fetched: None };
        let country = countries::Reply::Held(country).into();
        let said = |shut_out, about| {
            warning_of_caller(&CallerFinding { address, shut_out, about }).unwrap_or_default()
        };
        let dropped = "new SSH connections from your address 203.0.113.7 will be dropped: ";
        for (reason, about, by) in [
            (Reason::Blocked { range }, vec![], "203.0.113.0/24 is blocked"),
            (
                Reason::Listed,
                vec![feed.clone(), country],
                "feed \"bad\" lists 203.0.113.0/24, its country CN is not allowed",
            ),
            (Reason::Denied { range }, vec![], "its account was removed"),
            (Reason::Stranger, vec![], "no account allows it"),
        ] {
            assert_eq!(said(Some(reason), about), format!("{dropped}{by}"));
        }
        assert_eq!(
            said(None, vec![feed]),
            "your address 203.0.113.7 is on a list (feed \"bad\" lists 203.0.113.0/24): only its account allows it"
        );
        assert_eq!(said(None, Vec::new()), "");
    }
}
