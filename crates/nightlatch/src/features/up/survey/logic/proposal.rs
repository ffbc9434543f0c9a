//! What `up` would allow on this machine, each with the reason.

use std::net::IpAddr;

use nightlatch_parse::address::{AddrRange, Family};
use serde::{Deserialize, Serialize};

use super::super::{
    CallerSource, ConnectedNetwork, InterfaceKind, Product, RtpRange, SipPort, Socket, Survey,
};
use super::addresses::{is_private, is_public};

/// The widest private IPv4 network that is proposed without a word of caution.
const WIDEST_V4: u32 = 16;
/// The widest local IPv6 network that is proposed.
const WIDEST_V6: u32 = 48;

/// What `up` would set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The accounts, in the order of the screen.
    pub accounts: Vec<ProposedAccount>,
    /// Networks that stay out, and why.
    pub left_out: Vec<LeftOut>,
    /// The PBX whose services hold.
    pub product: Option<Product>,
    /// Why that one.
    pub product_reason: String,
    /// The SSH ports.
    pub ssh: Vec<u16>,
    /// The SIP ports that differ from or confirm the product's.
    pub sip: Vec<SipPort>,
    /// The media ports, where a configuration names them.
    pub rtp: Option<RtpRange>,
    /// What the administrator should know before saying yes.
    pub warnings: Vec<Warning>,
    /// Whether `up` must refuse without an address given on its command line: the caller's is not
    /// certain, and the caller sits at no console.
    pub needs_explicit_allow: bool,
}

/// An account that `up` would make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposedAccount {
    /// Its name: `admin`, `local-network`, `vpn` or `containers`.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<AddrRange>,
    /// The note to keep with it.
    pub note: String,
    /// Why, for the screen.
    pub reason: String,
}

/// A network that stays out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The network.
    pub network: AddrRange,
    /// Why, for the screen.
    pub reason: String,
}

/// A warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// A short fixed name for scripts.
    pub id: String,
    /// The sentence for the screen.
    pub text: String,
}

/// Makes the proposal.
pub fn proposal(survey: &Survey) -> Proposal {
    let mut proposal = Proposal {
        product: survey.pbx.chosen,
        product_reason: survey.pbx.reason.clone(),
        ssh: survey.ssh.ports.clone(),
        sip: survey.sip.clone(),
        rtp: survey.rtp.clone(),
        ..Proposal::default()
    };
    propose_caller(survey, &mut proposal);
    propose_networks(survey, &mut proposal);
    warn_of_caller(survey, &mut proposal);
    warn_of_machine(survey, &mut proposal);
    proposal
}

fn propose_caller(survey: &Survey, proposal: &mut Proposal) {
    let caller = &survey.caller;
    let own = |address: IpAddr| survey.own_addresses().any(|own| own == address);
    let Some(address) = caller.address.filter(|address| !address.is_loopback() && !own(*address))
    else {
        proposal.needs_explicit_allow = !caller.console;
        return;
    };
    let who = caller.name.as_deref().unwrap_or("the caller");
    let how = match caller.found {
        CallerSource::SshProcess => "the connection of this SSH session",
        CallerSource::Environment => "from SSH_CONNECTION",
        CallerSource::ParentProcess => "from SSH_CONNECTION of the session before sudo",
        CallerSource::OnlySshPeer => "the only address with an SSH session",
        CallerSource::NotFound => "given",
    };
    proposal.accounts.push(ProposedAccount {
        name: "admin".to_owned(),
        addresses: vec![AddrRange::from(address)],
        note: format!("{who}, who ran nightlatch up"),
        reason: format!("you are here: {who} at {address} ({how})"),
    });
}

fn propose_networks(survey: &Survey, proposal: &mut Proposal) {
    for (name, title) in [
        ("local-network", "the network this machine is in"),
        ("vpn", "the VPN this machine is in"),
        ("containers", "the containers of this machine"),
    ] {
        let mut account = ProposedAccount {
            name: name.to_owned(),
            addresses: Vec::new(),
            note: format!("{title}, found by nightlatch up"),
            reason: String::new(),
        };
        let mut reasons: Vec<String> = Vec::new();
        for connected in survey.networks.iter().filter(|c| account_of(c.kind) == name) {
            let shown = format!("{} on {}", connected.network, connected.interface);
            match reason_to_leave_out(survey, connected) {
                None if account.addresses.contains(&connected.network) => {}
                None => {
                    account.addresses.push(connected.network);
                    reasons.push(shown);
                }
                Some(reason) => proposal.left_out.push(LeftOut {
                    network: connected.network,
                    reason: format!("{shown}: {reason}"),
                }),
            }
        }
        if !account.addresses.is_empty() {
            account.reason = format!("{title}: {}", reasons.join(", "));
            proposal.accounts.push(account);
        }
    }
}

fn account_of(kind: InterfaceKind) -> &'static str {
    match kind {
        InterfaceKind::Containers => "containers",
        InterfaceKind::Tunnel => "vpn",
        _ => "local-network",
    }
}

/// Why a connected network is not proposed; none where it is.
fn reason_to_leave_out(survey: &Survey, connected: &ConnectedNetwork) -> Option<String> {
    let network = &connected.network;
    let cloud = &survey.cloud;
    if !is_private(network) {
        return Some("these are public addresses that belong to neighbours too".to_owned());
    }
    let made_here = matches!(connected.kind, InterfaceKind::Containers | InterfaceKind::Tunnel);
    if cloud.is_cloud && !made_here {
        let name = cloud.name.as_deref().unwrap_or("the provider");
        return Some(format!(
            "in the data centre of {name} other customers may share it; allow it yourself if it is yours alone"
        ));
    }
    let prefix = network.prefix().unwrap_or(0);
    match network.family() {
        Family::V4 if prefix < WIDEST_V4 && (cloud.is_cloud || made_here) => {
            Some(format!("wider than /{WIDEST_V4}; allow the part of it that is yours"))
        }
        Family::V6 if prefix < WIDEST_V6 => {
            Some(format!("wider than /{WIDEST_V6}; allow the part of it that is yours"))
        }
        _ => None,
    }
}

fn warn_of_caller(survey: &Survey, proposal: &mut Proposal) {
    let caller = &survey.caller;
    let admin = proposal.accounts.first().filter(|a| a.name == "admin");
    let mut warnings = Vec::new();
    if admin.is_none() {
        let hint = match caller.candidates.as_slice() {
            [] => String::new(),
            several => format!(" SSH sessions come from {}.", list(several)),
        };
        warnings.push(if caller.console {
            warning(
                "caller-at-console",
                "You are at a console, so no address of yours is allowed: after this nobody can reach the machine by SSH from outside the networks above."
                    .to_owned(),
            )
        } else {
            warning(
                "no-caller",
                format!(
                    "The address you come from could not be found.{hint} Say which addresses to \
                     allow, or you lock yourself out."
                ),
            )
        });
    } else if let Some(address) = caller.address {
        if !caller.live {
            let hint = match caller.candidates.as_slice() {
                [] => "No SSH session from there is open now.".to_owned(),
                several => format!("SSH sessions are open from {}.", list(several)),
            };
            warnings.push(warning(
                "caller-not-live",
                format!(
                    "SSH_CONNECTION names {address}, perhaps from an older session (tmux, \
                     screen). {hint}"
                ),
            ));
        }
        if survey.gateways.iter().any(|gateway| gateway.address == address) {
            warnings.push(warning(
                "caller-is-gateway",
                format!(
                    "You connect through the gateway {address}: everybody behind it, perhaps the \
                     whole Internet, looks like you. Set it to keep the callers' addresses."
                ),
            ));
        }
        let other_family = survey.own_addresses().find(|own| {
            own.is_ipv6() != address.is_ipv6() && is_public(*own) && is_public(address)
        });
        if let Some(own) = other_family {
            let (yours, other) = families(address);
            warnings.push(warning(
                "two-families",
                format!(
                    "You connected over {yours}; this machine has {own} too. A reconnect by name may \
                     take {other}, and your {other} address is not allowed yet."
                ),
            ));
        }
    }
    proposal.warnings.extend(warnings);
}

fn warn_of_machine(survey: &Survey, proposal: &mut Proposal) {
    for connected in &survey.networks {
        let wide = connected.network.family() == Family::V4
            && connected.network.prefix().is_some_and(|prefix| prefix < WIDEST_V4)
            && proposal
                .accounts
                .iter()
                .any(|account| account.addresses.contains(&connected.network));
        if wide {
            proposal.warnings.push(warning(
                "wide-network",
                format!(
                    "{} is allowed because {} is in it, and it is very wide: allow less if you \
                     can.",
                    connected.network, connected.interface
                ),
            ));
        }
    }
    let global: Vec<IpAddr> =
        survey.own_addresses().filter(|own| own.is_ipv6() && is_public(*own)).collect();
    if let Some(first) = global.first() {
        proposal.warnings.push(warning(
            "ipv6",
            format!(
                "This machine is reachable over IPv6 too ({first}); IPv6 is filtered in the same way. \
                 Telephones and trunks that use IPv6 need their IPv6 addresses allowed."
            ),
        ));
    }
    for socket in survey.sockets.iter().filter(|socket| !socket.only_loopback) {
        if let Some((name, advice)) = management(socket) {
            let place = std::net::SocketAddr::new(socket.address, socket.port);
            proposal.warnings.push(warning(
                "management-port",
                format!(
                    "{name} listens on {place}. Strangers no longer reach it, allowed addresses \
                     may: {advice}."
                ),
            ));
        }
    }
    if !survey.pbx.in_containers.is_empty() {
        proposal.warnings.push(warning(
            "pbx-in-container",
            format!(
                "{} runs in a container: its published ports are filtered by the ports of this host.",
                survey.pbx.in_containers.join(", ")
            ),
        ));
    }
    if survey.ssh.ports.is_empty() {
        proposal
            .warnings
            .push(warning("no-ssh", "No SSH server was found; assuming port 22.".to_owned()));
    }
}

/// Ports by which a PBX is governed: the name, and what to do.
fn management(socket: &Socket) -> Option<(&'static str, &'static str)> {
    if socket.protocol != super::super::Protocol::Tcp {
        return None;
    }
    let program = socket.program.as_deref().unwrap_or_default();
    let found = match socket.port {
        5038 | 5039 => {
            ("The Asterisk manager interface (AMI)", "set bindaddr = 127.0.0.1 in manager.conf")
        }
        8021 => {
            ("The FreeSWITCH event socket", "set listen-ip to 127.0.0.1 in event_socket.conf.xml")
        }
        3306 if program.starts_with("maria") || program.starts_with("mysql") => {
            ("The database", "set bind-address = 127.0.0.1 in its configuration")
        }
        5432 if program.starts_with("postgres") => {
            ("The database", "set listen_addresses = 'localhost' in postgresql.conf")
        }
        _ => return None,
    };
    Some(found)
}

fn warning(id: &str, text: String) -> Warning {
    Warning { id: id.to_owned(), text }
}

fn families(address: IpAddr) -> (&'static str, &'static str) {
    if address.is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") }
}

/// The first ten addresses.
fn list(addresses: &[IpAddr]) -> String {
    let shown: Vec<String> = addresses.iter().take(10).map(ToString::to_string).collect();
    let more = addresses.len() - shown.len();
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}
