//! From a plan to the `ip -batch` texts that build it.

use std::fmt::Write as _;

use super::plan::{HostPlan, NetworkPlan, Plan, ROUTER};

/// The interface number of the first port of a router; hosts have far fewer interfaces.
const FIRST_PORT: usize = 1000;

/// The batch texts of one host.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// The host inside which `ip` has to run.
    pub(super) host: String,
    /// Makes the pairs of interfaces; these come first, for all hosts.
    pub(super) links: String,
    /// Addresses and routes.
    pub(super) addresses: String,
}

/// The texts for every host of `plan`, the router's first.
///
/// `process` gives the process that holds a host's namespace. An error is the name of a network
/// or host that the plan uses but does not describe.
pub(super) fn batches(
    plan: &Plan,
    process: impl Fn(&str) -> Option<u32>,
) -> Result<Vec<Batch>, String> {
    let names = std::iter::once(ROUTER).chain(plan.hosts.iter().map(|host| host.name.as_str()));
    let mut batches: Vec<Batch> =
        names.map(|name| Batch { host: name.to_owned(), ..Batch::default() }).collect();
    for batch in &mut batches {
        batch.addresses.push_str("link set lo up\n");
    }
    let mut ports = 0;
    for network in &plan.networks {
        ports = wire_network(plan, network, &mut batches, &process, ports)?;
    }
    for host in &plan.hosts {
        wire_host(plan, host, &mut batches)?;
    }
    Ok(batches)
}

/// The network's side at its router: one veth, or a bridge where there are several hosts.
/// Takes and returns how many ports there are on the whole stage.
fn wire_network(
    plan: &Plan,
    network: &NetworkPlan,
    batches: &mut [Batch],
    process: &impl Fn(&str) -> Option<u32>,
    mut ports: usize,
) -> Result<usize, String> {
    let members = members(plan, &network.name);
    let name = &network.name;
    let router = find(batches, &network.router)?;
    let shared = members.len() != 1;
    if shared {
        line(&mut router.links, &format!("link add {name} type bridge mcast_snooping 0"));
    }
    for (place, (host, interface)) in members.iter().enumerate() {
        let holder = process(host).ok_or_else(|| (*host).to_owned())?;
        let port = if shared { format!("{}.{place}", clipped(name)) } else { name.clone() };
        let peer = format!("peer name {interface} netns {holder}");
        // The kernel delays the news that a link is up by as much as a second where both ends of
        // a pair have the same number, so the router's ends get numbers no host's end has.
        let number = FIRST_PORT + ports;
        ports += 1;
        line(&mut router.links, &format!("link add {port} index {number} type veth {peer}"));
        if shared {
            line(&mut router.addresses, &format!("link set {port} master {name}"));
            line(&mut router.addresses, &format!("link set {port} up"));
        }
    }
    for gateway in &network.gateways {
        line(&mut router.addresses, &address(gateway, name));
    }
    line(&mut router.addresses, &format!("link set {name} up"));
    Ok(ports)
}

/// A host's own side: addresses, default routes, and the networks it owns.
fn wire_host(plan: &Plan, host: &HostPlan, batches: &mut [Batch]) -> Result<(), String> {
    for (place, attachment) in host.attachments.iter().enumerate() {
        let own = &mut find(batches, &host.name)?.addresses;
        for text in &attachment.addresses {
            line(own, &address(text, &format!("eth{place}")));
        }
        line(own, &format!("link set eth{place} up"));
    }
    let Some(home) = host.attachments.first() else {
        return Ok(());
    };
    let network = plan.networks.iter().find(|network| network.name == home.network);
    let network = network.ok_or_else(|| home.network.clone())?;
    let own = &mut find(batches, &host.name)?.addresses;
    for gateway in &network.gateways {
        line(own, &format!("route add default via {}", bare(gateway)));
    }
    for routed in &host.routed {
        line(own, &format!("route add local {routed} dev lo"));
    }
    let router = &mut find(batches, &network.router)?.addresses;
    for routed in &host.routed {
        let via = home.addresses.iter().find(|text| is_v6(text) == is_v6(routed));
        let via = via.ok_or_else(|| routed.clone())?;
        line(router, &format!("route add {routed} via {}", bare(via)));
    }
    Ok(())
}

/// The hosts in a network, each with its interface there.
fn members<'a>(plan: &'a Plan, network: &str) -> Vec<(&'a str, String)> {
    let mut members = Vec::new();
    for host in &plan.hosts {
        for (place, attachment) in host.attachments.iter().enumerate() {
            if attachment.network == network {
                members.push((host.name.as_str(), format!("eth{place}")));
            }
        }
    }
    members
}

fn find<'a>(batches: &'a mut [Batch], host: &str) -> Result<&'a mut Batch, String> {
    batches.iter_mut().find(|batch| batch.host == host).ok_or_else(|| host.to_owned())
}

fn line(text: &mut String, addition: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{addition}");
}

/// The command for an address that is usable at once, without waiting for duplicates.
fn address(text: &str, interface: &str) -> String {
    let nodad = if is_v6(text) { " nodad" } else { "" };
    format!("address add {text} dev {interface}{nodad}")
}

fn is_v6(text: &str) -> bool {
    text.contains(':')
}

fn bare(text: &str) -> &str {
    text.split('/').next().unwrap_or(text)
}

/// Room for a dot and two digits within the 15 characters of an interface name.
fn clipped(name: &str) -> &str {
    name.get(..12).unwrap_or(name)
}
