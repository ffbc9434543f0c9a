//! What `nightlatch up` finds out about the machine before it shows its plan.
//!
//! The survey only reads: who calls, from where, the machine's own addresses, which PBX is there,
//! what listens, which connections live, and which other firewalls stand beside ours. It never
//! fails as a whole: what could not be read is listed in [`Survey::unread`].
//!
//! [`io::take`] reads the machine, [`logic`] turns texts into facts, and
//! [`logic::proposal::proposal`] says what `up` should allow, each time with the reason.

use std::net::IpAddr;

use nightlatch_parse::address::AddrRange;
use serde::{Deserialize, Serialize};

pub mod io;
pub mod logic;
#[cfg(test)]
mod tests;

pub use io::{Root, published_in_background, take};
pub use logic::flows::{CutKind, CutLine, FlowContext, all_flows, describe};
pub use logic::proposal::{LeftOut, Proposal, ProposedAccount, Warning, proposal};
pub use logic::sockets::from_sockets;
pub use nightlatch_core::cut::{Began, LiveFlow};
pub use nightlatch_core::product::Product;
pub use nightlatch_core::service::Protocol;

pub use crate::shell::pbx::{Contact, PbxAnswer, Unread};

/// All that is known about the machine before a firewall is put on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// Who runs the command, and from which address.
    pub caller: Caller,
    /// The network interfaces with their addresses.
    pub interfaces: Vec<Interface>,
    /// The networks directly reachable over an interface, without a gateway.
    pub networks: Vec<ConnectedNetwork>,
    /// Where packets to the rest of the world go.
    pub gateways: Vec<Gateway>,
    /// The name servers in use, without the stub of systemd-resolved.
    pub resolvers: Vec<IpAddr>,
    /// Time servers as they are configured: names or addresses.
    pub time_servers: Vec<String>,
    /// Whether the machine is rented in somebody's data centre.
    pub cloud: Cloud,
    /// The telephone software.
    pub pbx: Pbx,
    /// Listening TCP and bound UDP sockets.
    pub sockets: Vec<Socket>,
    /// On which ports SSH really listens.
    pub ssh: SshPorts,
    /// The media ports the PBX is configured for; none where no configuration says so.
    pub rtp: Option<RtpRange>,
    /// The SIP ports on which the running PBX really listens.
    pub sip: Vec<SipPort>,
    /// Established TCP connections of the machine, without those to itself.
    pub flows: Vec<LiveFlow>,
    /// Telephones and trunks whose addresses the PBX knows, each address and port once.
    pub contacts: Vec<Contact>,
    /// What the PBX answered: registrations, contacts, calls.
    #[serde(default)]
    pub pbx_answer: PbxAnswer,
    /// Other firewalls and what feeds them.
    pub firewalls: Vec<OtherFirewall>,
    /// Ports of this host that are handed on to containers or other machines.
    pub published: Vec<PublishedPort>,
    /// What could not be read, and why.
    pub unread: Vec<Unread>,
}

impl Survey {
    /// All addresses of the machine's interfaces.
    pub fn own_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.interfaces.iter().flat_map(|interface| &interface.addresses).map(|own| own.address)
    }
}

/// Who runs the command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The user the process runs as.
    pub uid: u32,
    /// The user who logged in, before `sudo` or `su` (the kernel's login uid); none where nobody
    /// logged in, as in a boot script.
    pub login_uid: Option<u32>,
    /// The name of the login user, else of the running user.
    pub name: Option<String>,
    /// The address the caller came from; none where it is not certain.
    pub address: Option<IpAddr>,
    /// The caller's own port of the SSH connection.
    pub port: Option<u16>,
    /// The port of this machine the caller came in on.
    pub ssh_port: Option<u16>,
    /// How the address was found.
    pub found: CallerSource,
    /// Whether that very connection was seen established in the kernel. An address found in the
    /// environment of an old `tmux` or `screen` is not.
    pub live: bool,
    /// Whether the caller sits at a console, serial line or hypervisor console, and so cannot be
    /// locked out by a firewall.
    pub console: bool,
    /// Every address with an SSH session that has logged in. Connections that have not, such as
    /// those of password guessers, do not count.
    pub candidates: Vec<IpAddr>,
}

/// How the caller's address was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallerSource {
    /// The connection of the SSH server process under which the command runs.
    SshProcess,
    /// `SSH_CONNECTION` of the command's own environment.
    Environment,
    /// `SSH_CONNECTION` of a parent process: `sudo` had removed it.
    ParentProcess,
    /// The only address with an SSH session that has logged in.
    OnlySshPeer,
    /// Not found.
    #[default]
    NotFound,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// What it is.
    pub kind: InterfaceKind,
    /// Whether it is up.
    pub up: bool,
    /// The flags as the kernel names them, such as `BROADCAST`.
    pub flags: Vec<String>,
    /// The addresses it carries.
    pub addresses: Vec<OwnAddress>,
}

/// What an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceKind {
    /// The machine itself.
    Loopback,
    /// A network card, a VLAN or a bond of them.
    Physical,
    /// A bridge that is no container engine's.
    Bridge,
    /// A bridge of Docker, Podman, LXC or libvirt.
    Containers,
    /// One end of a virtual cable: the network card inside a container.
    Veth,
    /// A tunnel or VPN: tun, tap, `WireGuard`, GRE, PPP, VXLAN.
    Tunnel,
    /// Anything else.
    Other,
}

/// An address of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnAddress {
    /// The address.
    pub address: IpAddr,
    /// The prefix length of its network.
    pub prefix: u32,
    /// The kernel's scope: `global`, `link` or `host`.
    pub scope: String,
}

/// A network that is reachable without a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectedNetwork {
    /// The network.
    pub network: AddrRange,
    /// Over which interface.
    pub interface: String,
    /// What that interface is.
    pub kind: InterfaceKind,
}

/// A way to the rest of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// The router's address.
    pub address: IpAddr,
    /// The interface it is behind.
    pub interface: String,
}

/// Whether the machine is a rented one, whose private network may hold strangers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cloud {
    /// Whether it is.
    pub is_cloud: bool,
    /// Whose, where that is known.
    pub name: Option<String>,
    /// What it was seen by.
    pub reason: String,
}

/// The telephone software of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pbx {
    /// The product whose ports the firewall should know; none where there is none.
    pub chosen: Option<Product>,
    /// Why that one.
    pub reason: String,
    /// All that was found, in the order of preference.
    pub found: Vec<FoundProduct>,
    /// The PBX processes of other network namespaces: in containers.
    pub in_containers: Vec<String>,
}

/// A product that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundProduct {
    /// The product.
    pub product: Product,
    /// The files and processes it was known by.
    pub evidence: Vec<String>,
    /// Whether it runs now, in this network namespace.
    pub running: bool,
}

/// A listening TCP socket or a bound UDP socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The address it is bound to; `0.0.0.0` or `::` for all.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The short name of the program that holds it, where that could be read.
    pub program: Option<String>,
    /// The process that holds it.
    pub pid: Option<u32>,
    /// Whether only the machine itself reaches it.
    pub only_loopback: bool,
}

/// On which ports SSH is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshPorts {
    /// The TCP ports, ascending; empty where no SSH server was found.
    pub ports: Vec<u16>,
    /// How they were found: `listening`, `sshd_config`, `ssh.socket`, `SSH_CONNECTION`.
    pub found: Vec<String>,
}

/// The media ports of a PBX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtpRange {
    /// The first UDP port.
    pub first: u16,
    /// The last UDP port.
    pub last: u16,
    /// The file that says so.
    pub source: String,
}

/// A port on which the PBX takes SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SipPort {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// A firewall beside ours, or a program that feeds one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherFirewall {
    /// A short fixed name for scripts, such as `ufw`.
    pub id: String,
    /// The name as people write it.
    pub name: String,
    /// Where it was found: files, tables, chains, processes.
    pub found: Vec<String>,
    /// Whether it acts on packets now, or its daemon runs.
    pub active: bool,
    /// Whether it is started at boot.
    pub at_boot: bool,
    /// Its base chains that drop what no rule accepts, such as `ip filter INPUT`.
    pub drops_by_default: Vec<String>,
    /// The number of its rules that drop.
    pub drop_rules: u32,
    /// The number of its rules that answer with a refusal.
    pub reject_rules: u32,
    /// Whether it empties other people's rules when it starts or restarts.
    pub flushes: bool,
    /// What it does beside ours, in a plain sentence or two.
    pub effect: String,
}

/// A port of this host that is handed on (DNAT), as container engines do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// TCP or UDP; none where the rule names no protocol.
    pub protocol: Option<Protocol>,
    /// The first port; none where the rule holds for all ports or could not be read.
    pub first: Option<u16>,
    /// The last port.
    pub last: Option<u16>,
    /// The destination address the rule asks for; none for every address.
    pub address: Option<String>,
    /// Where it goes, such as `172.17.0.2:80`.
    pub to: Option<String>,
    /// The chain it was found in, such as `ip nat DOCKER`.
    pub chain: String,
}
