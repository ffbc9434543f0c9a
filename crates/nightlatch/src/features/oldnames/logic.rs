//! Old commands and menus, and what they are now.

/// An old command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldName {
    /// `add-ip NAME ADDRESS`
    AddIp,
    /// `add-fqdn NAME HOST`
    AddFqdn,
    /// `del-acct NAME.iptables`
    DelAcct,
    /// `add-blacklist ADDRESS`
    AddBlacklist,
    /// `iptables-restart`
    Restart,
    /// `iptables-knock activate`, `iptables-knock deactivate`
    Knock,
}

impl OldName {
    /// The command of a name.
    pub fn of(name: &str) -> Option<OldName> {
        match name {
            "add-ip" => Some(OldName::AddIp),
            "add-fqdn" => Some(OldName::AddFqdn),
            "del-acct" => Some(OldName::DelAcct),
            "add-blacklist" => Some(OldName::AddBlacklist),
            "iptables-restart" => Some(OldName::Restart),
            "iptables-knock" => Some(OldName::Knock),
            _ => None,
        }
    }

    /// Whether it asks for services.
    pub fn takes_services(self) -> bool {
        matches!(self, OldName::AddIp | OldName::AddFqdn)
    }

    /// How it is used.
    pub fn usage(self) -> &'static str {
        match self {
            OldName::AddIp => {
                "use: add-ip NAME ADDRESS, with no space in either (now also: nightlatch allow, nightlatch account add)"
            }
            OldName::AddFqdn => {
                "use: add-fqdn NAME HOSTNAME, with no space in either (now also: nightlatch allow, nightlatch account add)"
            }
            OldName::DelAcct => {
                "use: del-acct NAME (now also: nightlatch remove, and nightlatch account drop for one address)"
            }
            OldName::AddBlacklist => "use: add-blacklist ADDRESS (now also: nightlatch block)",
            OldName::Restart => "use: iptables-restart (now: nightlatch reload)",
            OldName::Knock => {
                "use: iptables-knock activate, or iptables-knock deactivate (now: nightlatch user permanent on|off)"
            }
        }
    }
}

/// The services by the numbers of the old menu: number, label, the services they are now. Ports
/// that no service of today stands for (web and FTP front ends of old distributions) are left to
/// the closest one.
const MENU: [(&str, &str, &str); 10] = [
    ("0", "All services", "all"),
    ("1", "SIP (UDP)", "sip"),
    ("2", "SIP (TCP)", "sip"),
    ("3", "IAX", "iax"),
    ("4", "Web", "web"),
    ("5", "WebMin", "web"),
    ("6", "FTP", "provisioning"),
    ("7", "TFTP", "provisioning"),
    ("8", "SSH", "ssh"),
    ("9", "FOP", "web"),
];

/// The menu for the screen.
pub(super) fn menu() -> impl Iterator<Item = String> {
    MENU.iter().map(|(number, label, now)| format!("  {number}  {label:<14} ({now})"))
}

/// The services of an answer such as `1,4`; all where it is empty.
pub(super) fn services_of(answer: &str) -> Result<String, String> {
    let numbers = answer.split([',', ' ']).map(str::trim).filter(|number| !number.is_empty());
    let mut services: Vec<&str> = Vec::new();
    for number in numbers {
        let found = MENU.iter().find(|(known, _, _)| *known == number);
        let (_, _, service) = found.ok_or_else(|| number.to_owned())?;
        services.push(service);
    }
    services.dedup();
    Ok(if services.is_empty() { "all".to_owned() } else { services.join(",") })
}

/// The new command line; `None` where the arguments do not fit the old command.
pub(super) fn translate(
    name: OldName,
    arguments: &[String],
    services: Option<&str>,
) -> Option<Vec<String>> {
    let words = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect());
    match (name, arguments) {
        // A host name opens telephony only, unless more is named.
        (OldName::AddFqdn, [account, host]) if services.is_none() => {
            words(&["allow", account, host])
        }
        (OldName::AddIp | OldName::AddFqdn, [account, address]) => {
            words(&["allow", account, address, "--services", services.unwrap_or("all")])
        }
        (OldName::DelAcct, [account]) => {
            // The old command wanted the file's name.
            words(&["remove", account.strip_suffix(".iptables").unwrap_or(account)])
        }
        (OldName::AddBlacklist, [address]) => words(&["block", address]),
        (OldName::Restart, []) => words(&["reload"]),
        (OldName::Knock, [what]) if what == "activate" => words(&["user", "permanent", "on"]),
        (OldName::Knock, [what]) if what == "deactivate" => words(&["user", "permanent", "off"]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, arguments: &[&str], services: Option<&str>, expected: Option<&str>) {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let new = translate(OldName::of(name).unwrap(), &arguments, services);
        assert_eq!(new.map(|words| words.join(" ")).as_deref(), expected);
    }

    #[test]
    fn hands_remember() {
        check(
            "add-ip",
            &["office", "203.0.113.7"],
            None,
            Some("allow office 203.0.113.7 --services all"),
        );
        check(
            "add-fqdn",
            &["joe", "joe.example.net"],
            Some("sip,web"),
            Some("allow joe joe.example.net --services sip,web"),
        );
        let old = ["joe", "joe.example.net"];
        check("add-fqdn", &old, None, Some("allow joe joe.example.net"));
        check("add-ip", &["office"], None, None);
        check("del-acct", &["office.iptables"], None, Some("remove office"));
        check("del-acct", &["office"], None, Some("remove office"));
        check("add-blacklist", &["203.0.113.7"], None, Some("block 203.0.113.7"));
        check("iptables-restart", &[], None, Some("reload"));
        check("iptables-knock", &["activate"], None, Some("user permanent on"));
        check("iptables-knock", &["deactivate"], None, Some("user permanent off"));
        check("iptables-knock", &["status"], None, None);
        assert_eq!(OldName::of("nightlatch"), None);
    }

    #[test]
    fn the_old_menu() {
        for (answer, services) in
            [("", "all"), ("1,2", "sip"), ("1,4", "sip,web"), ("0", "all"), (" 3 , 8 ", "iax,ssh")]
        {
            assert_eq!(services_of(answer).unwrap(), services);
        }
        assert_eq!(services_of("1,x").unwrap_err(), "x");
    }
}
