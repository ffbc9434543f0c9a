//! Reads the rulesets and files of other firewalls.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::super::logic::firewalls::{FirewallFacts, find_firewalls};
use super::super::logic::iptables::read_iptables_save;
use super::super::logic::known::KNOWN;
use super::super::logic::ruleset::{Chains, read_nft};
use super::super::{PublishedPort, Survey};
use super::processes::Process;
use super::{Reader, read_bytes};

impl Reader<'_> {
    pub(super) fn firewalls(&mut self, survey: &mut Survey, processes: &[Process]) {
        let nft = self.nft_rules();
        let legacy = self.legacy_rules();
        survey.published = self.published(&nft, &legacy);
        let mut facts = FirewallFacts {
            rulesets: std::iter::once(nft).chain(legacy).collect(),
            files: self.firewall_files(),
            enabled: self.enabled_units(),
            processes: near_programs(processes),
            ..FirewallFacts::default()
        };
        let has_line = |text: Option<String>, wanted: &str| {
            text.unwrap_or_default().lines().any(|line| line.trim().eq_ignore_ascii_case(wanted))
        };
        facts.ufw_enabled = has_line(self.file("/etc/ufw/ufw.conf"), "ENABLED=yes");
        facts.nftables_flushes = has_line(self.file("/etc/nftables.conf"), "flush ruleset");
        survey.firewalls = find_firewalls(&facts);
    }

    /// The published ports only.
    pub(super) fn published_ports(&mut self) -> Vec<PublishedPort> {
        let nft = self.nft_rules();
        let legacy = self.legacy_rules();
        self.published(&nft, &legacy)
    }

    fn nft_rules(&mut self) -> Chains {
        match self.program("nft", &["-j", "-t", "list", "ruleset"]) {
            Some(text) => read_nft(&text).unwrap_or_else(|(chains, reason)| {
                self.miss("nft -j -t list ruleset", format!("read in part: {reason}"));
                chains
            }),
            None => Chains::default(),
        }
    }

    /// The rules of iptables-legacy. It is asked only where the kernel holds such tables: asking
    /// would load its modules.
    fn legacy_rules(&mut self) -> Vec<Chains> {
        let mut all = Vec::new();
        for (family, names, program) in [
            ("ip", "ip_tables_names", "iptables-legacy-save"),
            ("ip6", "ip6_tables_names", "ip6tables-legacy-save"),
        ] {
            let path = self.root.proc.join("thread-self/net").join(names);
            let tables = read_bytes(&path, 4096).unwrap_or_default();
            if tables.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if let Some(text) = self.program(program, &[]) {
                all.push(read_iptables_save(family, true, &text));
            }
        }
        all
    }

    /// The ports handed on. nftables does not show where iptables-nft hands them to:
    /// `iptables-nft-save` does.
    fn published(&mut self, nft: &Chains, legacy: &[Chains]) -> Vec<PublishedPort> {
        let mut all = nft.published.clone();
        if nft.hidden_nat {
            for (family, program) in [("ip", "iptables-nft-save"), ("ip6", "ip6tables-nft-save")] {
                let begin = format!("{family} nat ");
                if !all.iter().any(|port| port.chain.starts_with(&begin)) {
                    continue;
                }
                if let Some(text) = self.program(program, &["-t", "nat"]) {
                    all.retain(|port| !port.chain.starts_with(&begin));
                    all.extend(read_iptables_save(family, false, &text).published);
                }
            }
        }
        all.extend(legacy.iter().flat_map(|chains| chains.published.clone()));
        all.sort_unstable();
        all.dedup();
        all
    }

    fn firewall_files(&mut self) -> BTreeMap<String, Vec<String>> {
        let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for known in KNOWN {
            for pattern in known.files {
                for name in self.root.matching(pattern).into_iter().take(20) {
                    if !self.is_ours(&name) {
                        files.entry(known.id.to_owned()).or_default().push(name);
                    }
                }
            }
        }
        files
    }

    /// Whether a command with an old name is Nightlatch's own: a link to it, or a script that
    /// calls it.
    fn is_ours(&self, name: &str) -> bool {
        let path = self.root.path(name);
        let link = fs::read_link(&path).unwrap_or_default();
        let links_to_us = link
            .file_name()
            .is_some_and(|target| target.to_string_lossy().starts_with("nightlatch"));
        let script = || {
            let bytes = if path.is_file() {
                read_bytes(&path, 2048).unwrap_or_default()
            } else {
                Vec::new()
            };
            String::from_utf8_lossy(&bytes).contains("nightlatch")
        };
        links_to_us || script()
    }

    /// The units that something of systemd starts, and the scripts of the old runlevels.
    fn enabled_units(&mut self) -> BTreeSet<String> {
        let mut enabled = BTreeSet::new();
        let system = "/etc/systemd/system";
        for folder in self.root.names(system) {
            let is_list = matches!(folder.rsplit_once('.'), Some((_, "wants" | "requires")));
            if !is_list {
                continue;
            }
            let units = self.root.names(&format!("{system}/{folder}"));
            enabled.extend(units.iter().map(|unit| {
                unit.rsplit_once('.').map_or(unit.as_str(), |(name, _)| name).to_owned()
            }));
        }
        for level in ["/etc/rc2.d", "/etc/rc3.d", "/etc/rc5.d"] {
            for script in self.root.names(level) {
                let name = script.strip_prefix('S').and_then(|rest| rest.get(2..));
                enabled.extend(name.map(str::to_owned));
            }
        }
        enabled
    }
}

/// The names of the processes of this network namespace, and of the programs that scripts run.
fn near_programs(processes: &[Process]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for process in processes.iter().filter(|process| process.near) {
        names.insert(process.program.clone());
        // "php /usr/bin/thing": the thing is the program.
        let mut words = process.command_line.split_ascii_whitespace();
        let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
        let interpreter = words.next().map(base).unwrap_or_default();
        if ["php", "python", "perl", "bash", "sh"].iter().any(|name| interpreter.starts_with(name))
        {
            names.extend(words.find(|word| !word.starts_with('-')).map(base));
        }
    }
    names
}
