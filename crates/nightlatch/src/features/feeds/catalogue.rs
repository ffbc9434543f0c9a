//! Known lists, to be added by name alone.
//!
//! Where each comes from and how often its maker wants it to be fetched stands on its homepage.
//! Their content is theirs: read their terms before you use one, above all commercially.

use std::time::Duration;

use nightlatch_core::features::feeds::{Feed, FeedNameError};
use nightlatch_core::time::Time;

/// A known list.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) source: &'static str,
    pub(super) format: &'static str,
    /// How often to look for a new version, in minutes: no oftener than its maker asks for.
    pub(super) every_minutes: u64,
    pub(super) needs_key: bool,
    pub(super) homepage: &'static str,
    pub(super) what: &'static str,
}

const fn known(
    name: &'static str,
    source: &'static str,
    format: &'static str,
    every_minutes: u64,
    homepage: &'static str,
    what: &'static str,
) -> Known {
    Known { name, source, format, every_minutes, needs_key: false, homepage, what }
}

const DAY: u64 = 24 * 60;

/// All known lists, by name.
pub(super) const CATALOGUE: [Known; 14] = [
    Known {
        // All active addresses, as the README of its own clients has it; those ask every 4 minutes,
        // but only for what is new. The whole list is fetched less often.
        needs_key: true,
        ..known(
            "apiban",
            "https://apiban.org/ipset/${key}/list",
            "auto",
            60,
            "https://www.apiban.org/",
            "caught attacking SIP honeypots",
        )
    },
    known(
        "binarydefense",
        "https://www.binarydefense.com/banlist.txt",
        "plain",
        6 * 60,
        "https://www.binarydefense.com/",
        "seen attacking Binary Defense's sensors (non-commercial use)",
    ),
    // Renewed every 30 minutes.
    known(
        "blocklist-de",
        "https://lists.blocklist.de/lists/all.txt",
        "plain",
        60,
        "https://www.blocklist.de/en/export.html",
        "attacked anybody who reports to blocklist.de in the last 48 hours",
    ),
    known(
        "blocklist-de-sip",
        "https://lists.blocklist.de/lists/sip.txt",
        "plain",
        60,
        "https://www.blocklist.de/en/export.html",
        "attacked SIP, VoIP or Asterisk servers in the last 48 hours",
    ),
    known(
        "blocklist-de-ssh",
        "https://lists.blocklist.de/lists/ssh.txt",
        "plain",
        60,
        "https://www.blocklist.de/en/export.html",
        "attacked SSH in the last 48 hours",
    ),
    known(
        "cins-army",
        "https://cinsscore.com/list/ci-badguys.txt",
        "plain",
        4 * 60,
        "https://cinsscore.com/",
        "bad reputation with Sentinel's sensors",
    ),
    // First and last address and prefix by columns.
    known(
        "dshield",
        "https://feeds.dshield.org/block.txt",
        "plain",
        DAY,
        "https://www.dshield.org/",
        "the twenty networks that attack most",
    ),
    known(
        "et-compromised",
        "https://rules.emergingthreats.net/blockrules/compromised-ips.txt",
        "plain",
        DAY,
        "https://rules.emergingthreats.net/",
        "compromised machines",
    ),
    // A list of lists (DROP, DShield, Feodo, bogons), published with every change. Private and
    // unassigned networks on it are left out by our own rules.
    known(
        "firehol-level1",
        "https://raw.githubusercontent.com/firehol/blocklist-ipsets/master/firehol_level1.netset",
        "plain",
        6 * 60,
        "https://iplists.firehol.org/?ipset=firehol_level1",
        "the safest lists combined, with almost no false positives",
    ),
    known(
        "greensnow",
        "https://blocklist.greensnow.co/greensnow.txt",
        "plain",
        6 * 60,
        "https://greensnow.co/",
        "guessed passwords and scanned ports",
    ),
    known(
        "ipsum-level3",
        "https://raw.githubusercontent.com/stamparm/ipsum/master/levels/3.txt",
        "plain",
        DAY,
        "https://github.com/stamparm/ipsum",
        "on at least three of some thirty lists",
    ),
    // Spamhaus asks for no more than one look an hour, and says that once a day is enough. One JSON
    // object a line; the last line is about the list itself.
    known(
        "spamhaus-drop",
        "https://www.spamhaus.org/drop/drop_v4.json",
        "json:cidr",
        DAY / 2,
        "https://www.spamhaus.org/blocklists/do-not-route-or-peer/",
        "networks run by criminals, IPv4",
    ),
    known(
        "spamhaus-dropv6",
        "https://www.spamhaus.org/drop/drop_v6.json",
        "json:cidr",
        DAY / 2,
        "https://www.spamhaus.org/blocklists/do-not-route-or-peer/",
        "networks run by criminals, IPv6",
    ),
    // Its users fetch it every few hours to once a day. The list was seen with ten entries and with eighty
    // thousand: the watch over its size is meant for such.
    known(
        "voipbl",
        "https://www.voipbl.org/update/",
        "plain",
        DAY,
        "https://voipbl.org/",
        "reported by telephone servers",
    ),
];

/// The known list of a name.
pub(super) fn find(name: &str) -> Option<&'static Known> {
    CATALOGUE.iter().find(|known| known.name == name)
}

/// The names that are most like a mistyped one.
pub(super) fn near(name: &str) -> Vec<&'static str> {
    let begin: String = name.chars().take(4).collect();
    let alike = CATALOGUE.iter().map(|known| known.name);
    alike.filter(|known| known.contains(&begin) || name.contains(known)).take(5).collect()
}

impl Known {
    /// The feed to add.
    pub(super) fn feed(&self) -> Result<Feed, FeedNameError> {
        Ok(Feed {
            name: self.name.parse()?,
            source: self.source.to_owned(),
            format: self.format.to_owned(),
            headers: Vec::new(),
            key_file: None,
            every: Duration::from_secs(self.every_minutes * 60),
            since: Time::default(),
            by: String::new(),
            origin: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_list_can_be_added() {
        let mut previous = "";
        for known in &CATALOGUE {
            assert!(previous < known.name, "{}: not in order", known.name);
            previous = known.name;
            let mut feed = known.feed().unwrap();
            assert!(feed.source.starts_with("https://"), "{}", known.name);
            assert!(known.homepage.starts_with("https://"), "{}", known.name);
            assert_eq!(feed.check().is_err(), known.needs_key, "{}", known.name);
            feed.key_file = known.needs_key.then(|| "/etc/nightlatch/key".to_owned());
            assert_eq!(feed.check(), Ok(()), "{}", known.name);
        }
    }

    #[test]
    fn mistyped_names() {
        assert_eq!(near("spamhaus"), ["spamhaus-drop", "spamhaus-dropv6"]);
        assert_eq!(near("spamhouse"), ["spamhaus-drop", "spamhaus-dropv6"]);
        assert!(near("zzz").is_empty());
    }
}
