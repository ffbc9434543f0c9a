//! Live connections by the names an administrator knows them by.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::super::{Began, Contact, LiveFlow, Product, Protocol, SipPort, Survey};

/// The flows of one group: protocol, the peer's port, the own port.
type Ports = BTreeSet<(Protocol, u16, u16)>;

/// The most lines that [`describe`] gives before it only counts.
pub const MAX_LINES: usize = 20;

/// What tells the connections apart.
#[derive(Clone, Debug, Default)]
pub struct FlowContext {
    /// The caller's address and, where known, port.
    pub caller: Option<(IpAddr, Option<u16>)>,
    /// The SSH ports.
    pub ssh: Vec<u16>,
    /// The SIP ports.
    pub sip: Vec<SipPort>,
    /// First and last media port.
    pub rtp: Option<(u16, u16)>,
    /// What the PBX knows of its peers.
    pub contacts: Vec<Contact>,
    /// The programs behind the own ports.
    pub programs: BTreeMap<(Protocol, u16), String>,
}

/// What a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutKind {
    /// The SSH session in which the command runs.
    YourSession,
    /// Another SSH session.
    Ssh,
    /// Telephones that registered.
    Phone,
    /// A trunk, or a SIP peer of which no more is known.
    SipPeer,
    /// A peer by IAX.
    Iax,
    /// Voice and video of calls.
    Media,
    /// A browser or a provisioning telephone.
    Web,
    /// Another connection that the peer began.
    Other,
    /// What this machine began.
    Outgoing,
    /// The line that only counts what was left out.
    More,
}

/// One line of what a change would cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutLine {
    /// What it is.
    pub kind: CutKind,
    /// The other side; none for [`CutKind::More`].
    pub peer: Option<IpAddr>,
    /// How many telephones or connections; the number of lines for [`CutKind::More`].
    pub count: usize,
    /// The line for the screen, such as `2 registered phones at 203.0.113.20`.
    pub text: String,
}

impl FlowContext {
    /// The context of a survey.
    pub fn of(survey: &Survey) -> FlowContext {
        let sip = if survey.sip.is_empty() { usual_sip_ports() } else { survey.sip.clone() };
        FlowContext {
            caller: survey.caller.address.map(|address| (address, survey.caller.port)),
            ssh: survey.ssh.ports.clone(),
            sip,
            rtp: survey
                .rtp
                .as_ref()
                .map(|range| (range.first, range.last))
                .or_else(|| survey.pbx.chosen.and_then(usual_rtp)),
            contacts: survey.contacts.clone(),
            programs: survey
                .sockets
                .iter()
                .filter_map(|socket| {
                    let program = socket.program.clone()?;
                    Some(((socket.protocol, socket.port), program))
                })
                .collect(),
        }
    }

    /// What a connection is.
    pub fn kind(&self, flow: &LiveFlow) -> CutKind {
        let is_tcp = flow.protocol == Protocol::Tcp;
        if is_tcp && flow.began == Began::Peer && self.ssh.contains(&flow.local_port) {
            return self.kind_of_ssh(flow);
        }
        let own_sip =
            self.sip.iter().any(|sip| sip.protocol == flow.protocol && sip.port == flow.local_port);
        // A TCP or TLS trunk that the PBX dialled has its SIP port at the other end.
        if own_sip || (is_tcp && flow.began != Began::Peer && matches!(flow.peer_port, 5060 | 5061))
        {
            return if self.registered(flow) { CutKind::Phone } else { CutKind::SipPeer };
        }
        match flow.protocol {
            Protocol::Udp if flow.local_port == 4569 => CutKind::Iax,
            Protocol::Udp
                if self
                    .rtp
                    .is_some_and(|(first, last)| (first..=last).contains(&flow.local_port)) =>
            {
                CutKind::Media
            }
            _ if flow.began == Began::Host => CutKind::Outgoing,
            Protocol::Tcp if self.is_web(flow.local_port) => CutKind::Web,
            _ => CutKind::Other,
        }
    }

    fn kind_of_ssh(&self, flow: &LiveFlow) -> CutKind {
        match self.caller {
            Some((address, port))
                if address == flow.peer && port.is_none_or(|port| port == flow.peer_port) =>
            {
                CutKind::YourSession
            }
            _ => CutKind::Ssh,
        }
    }

    fn registered(&self, flow: &LiveFlow) -> bool {
        self.contacts.iter().any(|contact| contact.registered && contact.address == flow.peer)
    }

    fn is_web(&self, port: u16) -> bool {
        let program = self.programs.get(&(Protocol::Tcp, port));
        let by_program = program.is_some_and(|name| {
            ["nginx", "apache", "httpd", "lighttpd", "caddy", "node", "haproxy"]
                .iter()
                .any(|web| name.starts_with(web))
        });
        by_program
            || matches!(
                port,
                80 | 81
                    | 83
                    | 84
                    | 443
                    | 1443
                    | 2443
                    | 3443
                    | 4443
                    | 5000
                    | 5001
                    | 5015
                    | 5066
                    | 7443
                    | 8001
                    | 8003
                    | 8080
                    | 8088
                    | 8089
                    | 8443
            )
    }

    /// The name of an own port for a line of [`CutKind::Other`].
    fn port_name(&self, protocol: Protocol, port: u16) -> String {
        let known = match (protocol, port) {
            (Protocol::Tcp, 5038 | 5039) => Some("Asterisk manager"),
            (Protocol::Tcp, 8021) => Some("FreeSWITCH event socket"),
            (_, 5090) => Some("3CX tunnel"),
            (_, 1194) => Some("OpenVPN"),
            (Protocol::Udp, 51820) => Some("WireGuard"),
            (Protocol::Udp, 69) => Some("TFTP"),
            (Protocol::Tcp, 3306) => Some("MySQL"),
            (Protocol::Tcp, 5432) => Some("PostgreSQL"),
            _ => self.programs.get(&(protocol, port)).map(String::as_str),
        };
        match known {
            Some(name) => format!("{name} ({protocol}/{port})"),
            None => format!("{protocol}/{port}"),
        }
    }
}

/// The flows that stand for contacts: a telephone whose last packet is long ago has none in the
/// kernel, and would be cut off all the same.
pub fn flows_of_contacts(contacts: &[Contact], sip: &[SipPort]) -> Vec<LiveFlow> {
    contacts
        .iter()
        .map(|contact| LiveFlow {
            protocol: contact.protocol,
            peer: contact.address,
            peer_port: contact.port,
            local_port: sip
                .iter()
                .find(|sip| sip.protocol == contact.protocol)
                .map_or(5060, |sip| sip.port),
            began: if contact.registered { Began::Peer } else { Began::Host },
            host_sends: true,
        })
        .collect()
}

/// All live flows of a survey: from connection tracking, sockets and contacts. Each connection is
/// listed once; connection tracking knows best who began it, so its entry is preferred.
pub fn all_flows(survey: &Survey, tracked: impl IntoIterator<Item = LiveFlow>) -> Vec<LiveFlow> {
    let mut all: Vec<LiveFlow> = Vec::new();
    let key = |flow: &LiveFlow| (flow.protocol, flow.peer, flow.peer_port, flow.local_port);
    let mut known: BTreeSet<_> = BTreeSet::new();
    let own: BTreeSet<IpAddr> = survey.own_addresses().collect();
    for flow in tracked.into_iter().chain(survey.flows.iter().copied()) {
        let outside = !flow.peer.is_loopback() && !own.contains(&flow.peer);
        if outside && known.insert(key(&flow)) {
            all.push(flow);
        }
    }
    let met: BTreeSet<_> =
        all.iter().map(|flow| (flow.protocol, flow.peer, flow.peer_port)).collect();
    all.extend(
        flows_of_contacts(&survey.contacts, &survey.sip)
            .into_iter()
            .filter(|flow| !met.contains(&(flow.protocol, flow.peer, flow.peer_port))),
    );
    all
}

/// What a change would cut: the flows of which `judge` says so, grouped by what they are and with
/// whom, the caller's own session first, at most [`MAX_LINES`] lines and one that counts the
/// rest.
pub fn describe(
    context: &FlowContext,
    flows: &[LiveFlow],
    judge: impl Fn(&LiveFlow) -> bool,
) -> Vec<CutLine> {
    let mut groups: BTreeMap<(CutKind, IpAddr, String), Ports> = BTreeMap::new();
    for flow in flows.iter().filter(|flow| judge(flow)) {
        let kind = context.kind(flow);
        let port = match kind {
            CutKind::Other => context.port_name(flow.protocol, flow.local_port),
            CutKind::Outgoing => format!("{}/{}", flow.protocol, flow.peer_port),
            _ => String::new(),
        };
        groups.entry((kind, flow.peer, port)).or_default().insert((
            flow.protocol,
            flow.peer_port,
            flow.local_port,
        ));
    }
    let mut lines: Vec<CutLine> = groups
        .into_iter()
        .map(|((kind, peer, port), flows)| line(context, kind, peer, &port, &flows))
        .collect();
    // Many telephones behind one address matter more than one: within a kind, the largest first.
    lines.sort_by_key(|line| (line.kind, std::cmp::Reverse(line.count), line.peer));
    let hidden = lines.split_off(lines.len().min(MAX_LINES));
    lines.extend(rest_of(&hidden));
    lines
}

fn line(context: &FlowContext, kind: CutKind, peer: IpAddr, port: &str, flows: &Ports) -> CutLine {
    let contacts = || context.contacts.iter().filter(|c| c.address == peer);
    let mut number = flows.len();
    let text = match kind {
        CutKind::YourSession => format!("your SSH session from {peer}"),
        CutKind::Ssh => format!("{} from {peer}", several(number, "other SSH session")),
        CutKind::Phone => {
            number = contacts().filter(|contact| contact.registered).count();
            format!("{} at {peer}", several(number, "registered phone"))
        }
        CutKind::SipPeer => match contacts().next() {
            Some(trunk) => format!("SIP trunk \"{}\" at {peer}", trunk.name),
            None => format!("{} at {peer}", several(number, "SIP peer")),
        },
        CutKind::Iax => format!("{} at {peer}", several(number, "IAX peer")),
        CutKind::Media => format!("{} of calls with {peer}", several(number, "media stream")),
        CutKind::Web => match number {
            1 => format!("1 web session at {peer}"),
            _ => format!("1 web session at {peer} ({number} connections)"),
        },
        CutKind::Other => {
            format!("{} from {peer} to {port}", several(number, "connection"))
        }
        CutKind::Outgoing | CutKind::More => {
            let count = several(number, "connection");
            format!("{count} of this machine to {peer} {port}")
        }
    };
    CutLine { kind, peer: Some(peer), count: number, text }
}

fn rest_of(hidden: &[CutLine]) -> Option<CutLine> {
    (!hidden.is_empty()).then(|| {
        let phones: usize =
            hidden.iter().filter(|line| line.kind == CutKind::Phone).map(|line| line.count).sum();
        let text = match phones {
            0 => format!("and {} more", hidden.len()),
            _ => format!("and {} more, with {}", hidden.len(), several(phones, "registered phone")),
        };
        CutLine { kind: CutKind::More, peer: None, count: hidden.len(), text }
    })
}

fn several(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// What counts as SIP where no PBX runs whose sockets could tell.
fn usual_sip_ports() -> Vec<SipPort> {
    let port = |protocol, port, tls| SipPort { protocol, port, tls };
    vec![
        port(Protocol::Tcp, 5060, false),
        port(Protocol::Tcp, 5061, true),
        port(Protocol::Udp, 5060, false),
    ]
}

/// The media ports of a product that says nothing else.
fn usual_rtp(product: Product) -> Option<(u16, u16)> {
    match product {
        Product::FreePbx | Product::VitalPbx | Product::Asterisk => Some((10_000, 20_000)),
        Product::ThreeCx => Some((9_000, 10_999)),
        Product::FusionPbx | Product::FreeSwitch => Some((16_384, 32_768)),
        Product::Kamailio => None,
    }
}
