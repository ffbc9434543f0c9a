//! `iptables-save` boiled down to chains with counts: for iptables-legacy, which nftables does not
//! show, and for the destinations of DNAT rules, which it does not show either.

use super::super::PublishedPort;
use super::ruleset::{ChainName, Chains, MAX_CHAINS, protocol_of};

/// Reads `iptables-save` (or `ip6tables-save`), line by line.
///
/// `family` is `ip` or `ip6`; `legacy` says whether the rules are those of iptables-legacy.
pub fn read_iptables_save(family: &str, legacy: bool, text: &str) -> Chains {
    let mut chains = Chains::default();
    let mut table = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            name.trim().clone_into(&mut table);
        } else if let Some(rest) = line.strip_prefix(':') {
            let mut words = rest.split_ascii_whitespace();
            let (Some(name), Some(policy)) = (words.next(), words.next()) else {
                continue;
            };
            if chains.chains.len() >= MAX_CHAINS {
                continue;
            }
            let chain = chains.chains.entry(saved_name(family, &table, name)).or_default();
            chain.legacy = legacy;
            chain.hook = (policy != "-").then(|| name.to_ascii_lowercase());
            chain.drops_by_default = policy == "DROP";
        } else if line.starts_with("-A ") {
            chains.add_saved_rule(family, &table, &words_of(line));
        }
    }
    chains
}

fn saved_name(family: &str, table: &str, chain: &str) -> ChainName {
    ChainName { family: family.to_owned(), table: table.to_owned(), chain: chain.to_owned() }
}

impl Chains {
    fn add_saved_rule(&mut self, family: &str, table: &str, words: &[String]) {
        let after = |keys: &[&str]| {
            let at = words.iter().position(|word| keys.contains(&word.as_str()))?;
            // "! --dport 80" asks for every other port.
            let turned = at > 0 && words.get(at - 1).is_some_and(|word| word == "!");
            words.get(at + 1).filter(|_| !turned).map(String::as_str)
        };
        let Some(chain_name) = after(&["-A"]) else {
            return;
        };
        let name = saved_name(family, table, chain_name);
        let target = after(&["-j", "-g"]).unwrap_or_default();
        if let Some(chain) = self.chains.get_mut(&name) {
            chain.rules += 1;
            match target {
                "DROP" => chain.drops += 1,
                "REJECT" | "TARPIT" => chain.rejects += 1,
                "" | "ACCEPT" | "RETURN" | "LOG" => {}
                _ => *chain.jumps.entry(target.to_owned()).or_default() += 1,
            }
        }
        let to = match target {
            "DNAT" => after(&["--to-destination"]).map(str::to_owned),
            "REDIRECT" => Some(match after(&["--to-ports"]) {
                Some(port) => format!("port {port} of this host"),
                None => "this host".to_owned(),
            }),
            _ => return,
        };
        let ports: Vec<(Option<u16>, Option<u16>)> = after(&["--dport", "--dports"])
            .into_iter()
            .flat_map(|list| list.split(','))
            .map(|part| {
                let (first, last) = part.split_once(':').unwrap_or((part, part));
                (first.parse().ok(), last.parse().ok())
            })
            .collect();
        let ports = if ports.is_empty() { vec![(None, None)] } else { ports };
        let address = after(&["-d"])
            .map(|address| address.trim_end_matches("/32").trim_end_matches("/128").to_owned());
        for (first, last) in ports {
            self.publish(PublishedPort {
                protocol: after(&["-p"]).and_then(protocol_of),
                first,
                last,
                address: address.clone(),
                to: to.clone(),
                chain: name.to_string(),
            });
        }
    }
}

/// The words of a line; a text in double quotes is one word.
fn words_of(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if quoted => word.extend(letters.next()),
            '"' => quoted = !quoted,
            _ if letter.is_ascii_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(letter),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
