//! Which logs there may be, by what is installed.

use nightlatch_parse::log::Format;

/// A log that is read if it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its path.
    pub(super) path: String,
    /// The formats that its lines may have.
    pub(super) formats: Vec<Format>,
}

/// What tells that a program is installed, and the logs that it writes.
struct Known {
    /// One of these folders or files exists.
    if_there: &'static [&'static str],
    logs: &'static [&'static str],
    format: Format,
    /// Whether the journal has the lines too, and says who wrote them.
    is_in_journal: bool,
}

const SYSLOG_OF_LOGINS: &[&str] = &["/var/log/auth.log", "/var/log/secure"];

const KNOWN: &[Known] = &[
    Known {
        if_there: &["/etc/freepbx.conf"],
        logs: &["/var/log/asterisk/freepbx_security.log"],
        format: Format::Freepbx,
        is_in_journal: false,
    },
    Known {
        if_there: &["/etc/freeswitch", "/var/log/freeswitch"],
        logs: &["/var/log/freeswitch/freeswitch.log"],
        format: Format::Freeswitch,
        is_in_journal: false,
    },
    Known {
        if_there: &["/usr/local/freeswitch/log"],
        logs: &["/usr/local/freeswitch/log/freeswitch.log"],
        format: Format::Freeswitch,
        is_in_journal: false,
    },
    Known {
        if_there: &["/etc/fusionpbx"],
        logs: SYSLOG_OF_LOGINS,
        format: Format::Fusionpbx,
        is_in_journal: false,
    },
    Known {
        if_there: &["/etc/kamailio", "/usr/local/etc/kamailio"],
        logs: &["/var/log/kamailio.log", "/var/log/syslog", "/var/log/messages"],
        format: Format::Kamailio,
        is_in_journal: true,
    },
    Known {
        if_there: &["/etc/opensips", "/usr/local/etc/opensips"],
        logs: &["/var/log/opensips.log", "/var/log/syslog", "/var/log/messages"],
        format: Format::Opensips,
        is_in_journal: true,
    },
    Known {
        if_there: &["/etc/ssh/sshd_config", "/usr/sbin/sshd"],
        logs: SYSLOG_OF_LOGINS,
        format: Format::Sshd,
        is_in_journal: true,
    },
    Known {
        if_there: &["/etc/nginx"],
        logs: &["/var/log/nginx/error.log"],
        format: Format::Nginx,
        is_in_journal: false,
    },
    Known {
        if_there: &["/etc/apache2"],
        logs: &["/var/log/apache2/error.log"],
        format: Format::Apache,
        is_in_journal: false,
    },
    Known {
        if_there: &["/etc/httpd"],
        logs: &["/var/log/httpd/error_log", "/var/log/httpd/ssl_error_log"],
        format: Format::Apache,
        is_in_journal: false,
    },
];

/// Where Asterisk is configured.
pub(super) const ASTERISK: &str = "/etc/asterisk";
/// Where it says which logs it writes.
pub(super) const ASTERISK_LOGGER: &[&str] = &[
    "/etc/asterisk/logger.conf",
    "/etc/asterisk/logger_logfiles_additional.conf",
    "/etc/asterisk/logger_logfiles_custom.conf",
];
/// Where it says who may use its manager interface.
pub(super) const ASTERISK_MANAGER: &[&str] = &[
    "/etc/asterisk/manager.conf",
    "/etc/asterisk/manager_additional.conf",
    "/etc/asterisk/manager_custom.conf",
    "/etc/asterisk/manager.d",
];
const ASTERISK_LOGS: &str = "/var/log/asterisk";
/// Which logs are looked for where it says nothing.
const USUAL_LOGS: [&str; 5] = ["messages", "messages.log", "full", "security", "security.log"];
/// The most logs of Asterisk.
const MAX_LOGS: usize = 16;

/// The paths that tell what is installed, and which logs it writes.
pub(super) fn tells() -> impl Iterator<Item = &'static str> {
    let of_asterisk = [ASTERISK].into_iter().chain(ASTERISK_LOGGER.iter().copied());
    let of_asterisk = of_asterisk.chain(ASTERISK_MANAGER.iter().copied());
    of_asterisk.chain(KNOWN.iter().flat_map(|known| known.if_there.iter().copied()))
}

/// All logs that may be there.
pub(super) fn logs(exists: impl Fn(&str) -> bool, asterisk: &str, has_journal: bool) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut add =
        |path: String, format: Format| match found.iter_mut().find(|other| other.path == path) {
            Some(other) if !other.formats.contains(&format) => other.formats.push(format),
            Some(_) => {}
            None => found.push(Found { path, formats: vec![format] }),
        };
    if exists(ASTERISK) {
        let logs = logs_of_asterisk(asterisk);
        logs.into_iter().for_each(|path| add(path, Format::Asterisk));
    }
    for known in KNOWN {
        let is_there = known.if_there.iter().any(|path| exists(path));
        if is_there && !(known.is_in_journal && has_journal) {
            known.logs.iter().for_each(|path| add((*path).to_owned(), known.format));
        }
    }
    found
}

/// Whether `logger.conf` names a file into which the security events are written.
pub(super) fn logs_security(text: &str) -> bool {
    files_of_asterisk(text).any(|(_, levels)| levels.contains("security") || levels.contains('*'))
}

/// The files that `logger.conf` names, with their levels: `name => notice,warning,error`, or `name = ...`.
fn files_of_asterisk(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut section = "";
    text.lines().filter_map(move |line| {
        let line = line.split(';').next().unwrap_or_default().trim();
        if let Some(rest) = line.strip_prefix('[') {
            section = rest.split(']').next().unwrap_or_default();
        }
        let (name, levels) = line.split_once('=')?;
        let (name, levels) = (name.trim(), levels.trim_start_matches('>').trim());
        let is_file = !matches!(name, "console" | "syslog") && !name.starts_with("syslog.");
        let is_section = section == "logfiles" || section.is_empty();
        (is_file && is_section && is_sound(name)).then_some((name, levels))
    })
}

/// The files that `logger.conf` names, if their lines tell of attempts.
fn logs_of_asterisk(text: &str) -> Vec<String> {
    let is_of_use = |levels: &str| {
        ["security", "notice", "warning", "*"].iter().any(|level| levels.contains(level))
    };
    let files = files_of_asterisk(text).filter(|(_, levels)| is_of_use(levels));
    let mut logs: Vec<String> = files.map(|(name, _)| name.to_owned()).collect();
    if logs.is_empty() {
        logs = USUAL_LOGS.map(str::to_owned).to_vec();
    }
    logs.truncate(MAX_LOGS);
    let place = |name: String| match name.starts_with('/') {
        true => name,
        false => format!("{ASTERISK_LOGS}/{name}"),
    };
    logs.into_iter().map(place).collect()
}

fn is_sound(name: &str) -> bool {
    let is_sound = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    !name.is_empty() && name.chars().all(is_sound) && !name.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(there: &[&str], asterisk: &str, has_journal: bool, expected: &[(&str, &str)]) {
        let found = logs(|path| there.contains(&path), asterisk, has_journal);
        let found: Vec<(String, String)> = found
            .iter()
            .map(|it| {
                let formats: Vec<&str> = it.formats.iter().map(|format| format.name()).collect();
                (it.path.clone(), formats.join(" "))
            })
            .collect();
        let found: Vec<(&str, &str)> =
            found.iter().map(|(path, formats)| (path.as_str(), formats.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_installed_is_read() {
        check(&[], "", false, &[]);
        let there = ["/etc/ssh/sshd_config", "/etc/fusionpbx", "/etc/freeswitch"];
        let freeswitch = ("/var/log/freeswitch/freeswitch.log", "freeswitch");
        check(
            &there,
            "",
            false,
            &[
                freeswitch,
                ("/var/log/auth.log", "fusionpbx sshd"),
                ("/var/log/secure", "fusionpbx sshd"),
            ],
        );
        // The journal knows who wrote a line of sshd; that of PHP it does not read.
        let php = [("/var/log/auth.log", "fusionpbx"), ("/var/log/secure", "fusionpbx")];
        check(&there, "", true, &[freeswitch, php[0], php[1]]);
        check(&["/etc/nginx"], "", true, &[("/var/log/nginx/error.log", "nginx")]);
    }

    #[test]
    fn asterisk_says_which_logs_it_writes() {
        let text = "[general]\ndateformat = %F %T\n[logfiles]\nconsole => notice,warning\n\
            security.json => [json]security,notice ; exact\nfull => *\ndebug => debug\n\
            /srv/log/asterisk = notice\nsyslog.local0 => notice\n../x => notice\n";
        check(
            &["/etc/asterisk"],
            text,
            true,
            &[
                ("/var/log/asterisk/security.json", "asterisk"),
                ("/var/log/asterisk/full", "asterisk"),
                ("/srv/log/asterisk", "asterisk"),
            ],
        );
        check(
            &["/etc/asterisk"],
            "",
            true,
            &[
                ("/var/log/asterisk/messages", "asterisk"),
                ("/var/log/asterisk/messages.log", "asterisk"),
                ("/var/log/asterisk/full", "asterisk"),
                ("/var/log/asterisk/security", "asterisk"),
                ("/var/log/asterisk/security.log", "asterisk"),
            ],
        );
    }
}
