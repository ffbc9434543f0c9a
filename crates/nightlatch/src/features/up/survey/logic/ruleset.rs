//! The packet filter as other programs left it: `nft -j -t list ruleset` boiled down to chains
//! with counts.

use std::collections::BTreeMap;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::super::{Protocol, PublishedPort};

/// The most chains that are kept.
pub(super) const MAX_CHAINS: usize = 20_000;
/// The most published ports that are kept.
const MAX_PUBLISHED: usize = 2_000;

/// A chain of nftables, iptables-nft or iptables-legacy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Whether it belongs to iptables-legacy, which nftables does not show.
    pub legacy: bool,
    /// The hook of a base chain, in lower case, such as `input`.
    pub hook: Option<String>,
    /// Whether the base chain drops what no rule decided.
    pub drops_by_default: bool,
    /// All its rules.
    pub rules: u32,
    /// The rules that drop.
    pub drops: u32,
    /// The rules that answer with a refusal.
    pub rejects: u32,
    /// The chains it jumps to, and by how many rules.
    pub jumps: BTreeMap<String, u32>,
}

/// Where a chain stands: family, table, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainName {
    /// `ip`, `ip6`, `inet`, `arp`, `bridge`, `netdev`.
    pub family: String,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
}

impl std::fmt::Display for ChainName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.chain)
    }
}

/// All chains of one way of filtering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chains {
    /// The chains by name.
    pub chains: BTreeMap<ChainName, Chain>,
    /// Ports handed on by DNAT rules.
    pub published: Vec<PublishedPort>,
    /// Whether iptables-nft made a DNAT rule whose destination nftables does not show.
    pub hidden_nat: bool,
}

/// Reads `nft -j -t list ruleset`, one rule at a time, so that the memory needed is that of the
/// text. What stands before an error (a text cut short) is kept.
///
/// # Errors
///
/// What was read so far, with the reason why the rest could not be.
pub fn read_nft(json: &str) -> Result<Chains, (Chains, String)> {
    let mut chains = Chains::default();
    let mut input = serde_json::Deserializer::from_str(json);
    match Document(&mut chains).deserialize(&mut input) {
        Ok(()) => Ok(chains),
        Err(error) => Err((chains, error.to_string())),
    }
}

/// `{"nftables": [...]}`.
struct Document<'a>(&'a mut Chains);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a ruleset of nft")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "nftables" {
                map.next_value_seed(Items(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The list inside.
struct Items<'a>(&'a mut Chains);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of tables, chains and rules")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        while let Some(item) = list.next_element::<Value>()? {
            if let Some(chain) = item.get("chain") {
                self.0.add_chain(chain);
            } else if let Some(rule) = item.get("rule") {
                self.0.add_rule(rule);
            }
        }
        Ok(())
    }
}

impl Chains {
    fn add_chain(&mut self, value: &Value) {
        let Some(name) = chain_name(value, "name") else {
            return;
        };
        if self.chains.len() >= MAX_CHAINS {
            return;
        }
        let chain = self.chains.entry(name).or_default();
        chain.hook = text(value, "hook").map(str::to_owned);
        chain.drops_by_default = text(value, "policy") == Some("drop");
    }

    fn add_rule(&mut self, value: &Value) {
        let Some(name) = chain_name(value, "chain") else {
            return;
        };
        let expressions = value.get("expr").and_then(Value::as_array);
        let expressions = expressions.map(Vec::as_slice).unwrap_or_default();
        if let Some(chain) = self.chains.get_mut(&name) {
            chain.rules += 1;
            chain.drops += u32::from(expressions.iter().any(|e| says(e, "drop")));
            chain.rejects += u32::from(expressions.iter().any(rejects));
            for target in expressions.iter().filter_map(jump_target) {
                *chain.jumps.entry(target.to_owned()).or_default() += 1;
            }
        }
        let to = match expressions.iter().find_map(nat_target) {
            None => return,
            Some(NatTarget::Shown(to)) => Some(to),
            Some(NatTarget::Hidden) => None,
        };
        self.hidden_nat |= to.is_none();
        let matched = matched_ports(expressions);
        let ports = if matched.ports.is_empty() { vec![(None, None)] } else { matched.ports };
        for (first, last) in ports {
            self.publish(PublishedPort {
                protocol: matched.protocol,
                first,
                last,
                address: matched.address.clone(),
                to: to.clone(),
                chain: name.to_string(),
            });
        }
    }

    pub(super) fn publish(&mut self, port: PublishedPort) {
        if self.published.len() < MAX_PUBLISHED && !self.published.contains(&port) {
            self.published.push(port);
        }
    }
}

fn chain_name(value: &Value, key: &str) -> Option<ChainName> {
    Some(ChainName {
        family: text(value, "family")?.to_owned(),
        table: text(value, "table")?.to_owned(),
        chain: text(value, key)?.to_owned(),
    })
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// Whether an expression is a verdict or holds one, as a verdict map does.
fn says(value: &Value, verdict: &str) -> bool {
    match value {
        Value::Object(map) => {
            map.contains_key(verdict) || map.values().any(|inner| says(inner, verdict))
        }
        Value::Array(list) => list.iter().any(|inner| says(inner, verdict)),
        _ => false,
    }
}

fn rejects(value: &Value) -> bool {
    says(value, "reject") || xt_target(value) == Some("REJECT")
}

/// The iptables target that nftables only names.
fn xt_target(value: &Value) -> Option<&str> {
    let xt = value.get("xt")?;
    (text(xt, "type") == Some("target")).then(|| text(xt, "name")).flatten()
}

fn jump_target(value: &Value) -> Option<&str> {
    let jump = value.get("jump").or_else(|| value.get("goto"))?;
    text(jump, "target")
}

/// Where a rule hands packets on.
enum NatTarget {
    /// There, as shown.
    Shown(String),
    /// nftables knows that it does, but not where to.
    Hidden,
}

fn nat_target(value: &Value) -> Option<NatTarget> {
    if matches!(xt_target(value), Some("DNAT" | "REDIRECT")) {
        return Some(NatTarget::Hidden);
    }
    if let Some(redirect) = value.get("redirect") {
        return Some(NatTarget::Shown(match redirect.get("port") {
            Some(port) => format!("port {port} of this host"),
            None => "this host".to_owned(),
        }));
    }
    let dnat = value.get("dnat")?;
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => "several".to_owned(),
    };
    let address = dnat.get("addr").map(plain).unwrap_or_default();
    Some(NatTarget::Shown(match (dnat.get("port").map(plain), address.as_str()) {
        (Some(port), "") => format!("port {port}"),
        (Some(port), _) if address.contains(':') => format!("[{address}]:{port}"),
        (Some(port), _) => format!("{address}:{port}"),
        (None, _) => address,
    }))
}

/// What a rule asks of a packet's destination.
#[derive(Default)]
struct Matched {
    protocol: Option<Protocol>,
    ports: Vec<(Option<u16>, Option<u16>)>,
    address: Option<String>,
}

fn matched_ports(expressions: &[Value]) -> Matched {
    let mut matched = Matched::default();
    for test in expressions.iter().filter_map(|e| e.get("match")) {
        let (Some(left), Some(right)) = (test.get("left"), test.get("right")) else {
            continue;
        };
        if !matches!(text(test, "op"), Some("==" | "in")) {
            continue;
        }
        if let Some(payload) = left.get("payload") {
            match (text(payload, "protocol"), text(payload, "field")) {
                (Some(protocol), Some("dport")) => {
                    matched.protocol = protocol_of(protocol).or(matched.protocol);
                    read_ports(right, &mut matched.ports);
                }
                (Some("ip" | "ip6"), Some("daddr")) => {
                    matched.address = right.as_str().map(str::to_owned);
                }
                _ => {}
            }
        } else if left.get("meta").and_then(|meta| text(meta, "key")) == Some("l4proto") {
            matched.protocol = right.as_str().and_then(protocol_of).or(matched.protocol);
        }
    }
    matched
}

pub(super) fn protocol_of(name: &str) -> Option<Protocol> {
    match name {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    }
}

fn read_ports(value: &Value, ports: &mut Vec<(Option<u16>, Option<u16>)>) {
    let number = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    if let Some(port) = number(value) {
        ports.push((Some(port), Some(port)));
    } else if let Some(ends) = value.get("range").and_then(Value::as_array) {
        ports.push((ends.first().and_then(number), ends.last().and_then(number)));
    } else if let Some(list) = value.get("set").and_then(Value::as_array) {
        for inner in list.iter().take(MAX_PUBLISHED) {
            read_ports(inner, ports);
        }
    }
}
