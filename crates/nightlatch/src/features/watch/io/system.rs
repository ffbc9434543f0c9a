//! What files of this machine tell: what is installed, how it is configured, who writes logs.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use nightlatch_core::features::watch::Blind;

use crate::features::watch::blind::{self, Texts};
use crate::features::watch::find::{self, Found};
use crate::features::watch::trust::Trusted;
use crate::shell::paths::Paths;
use crate::shell::programs;

/// The most of a file that is read.
const MAX_FILE: u64 = 1 << 20;
/// The most profiles of FreeSWITCH.
const MAX_PROFILES: usize = 64;

/// The user and the groups that write logs for the system: rsyslog runs as `syslog` on some, and `adm` may
/// read logs; where they can write, they are who always does.
pub(super) fn trusted() -> Trusted {
    let mut trusted = Trusted { users: vec![0], groups: vec![0] };
    trusted.users.extend(number_of("/etc/passwd", "syslog"));
    trusted
        .groups
        .extend(["syslog", "adm"].iter().filter_map(|name| number_of("/etc/group", name)));
    trusted
}

/// Whether a thread runs here, of whichever program.
pub(super) fn runs(thread: u32) -> bool {
    Path::new("/proc").join(thread.to_string()).exists()
}

/// The third field of the line of a name, in a file such as `/etc/passwd`.
fn number_of(file: &str, name: &str) -> Option<u32> {
    let text = text(Path::new(file))?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

/// Whether the journal can be read here.
pub(super) fn has_journal(paths: &Paths) -> bool {
    paths.of_others("/run/systemd/journal/socket").exists()
        && programs::find("journalctl").is_some()
}

/// The number by which the journal knows this machine.
pub(super) fn machine() -> Option<String> {
    let text = text(Path::new("/etc/machine-id"))?;
    let number = text.trim();
    let is_number = number.len() == 32 && number.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then(|| number.to_owned())
}

/// Whether sshd is installed.
pub(super) fn has_sshd(paths: &Paths) -> bool {
    ["/etc/ssh/sshd_config", "/usr/sbin/sshd"].iter().any(|path| paths.of_others(path).exists())
}

/// Whether a log of Asterisk has its security events.
pub(super) fn logs_security(paths: &Paths) -> bool {
    find::logs_security(&logger(paths))
}

/// Which logs Asterisk writes.
fn logger(paths: &Paths) -> String {
    let files = find::ASTERISK_LOGGER.iter().filter_map(|path| text(&paths.of_others(path)));
    files.collect::<Vec<String>>().join("\n")
}

/// The logs that are there, or will be once something is written into them.
pub(super) fn logs(paths: &Paths, has_journal: bool) -> Vec<Found> {
    find::logs(|path| paths.of_others(path).exists(), &logger(paths), has_journal)
}

/// What leaves no line.
pub(super) fn blind(paths: &Paths) -> Vec<Blind> {
    let of_others = |path: &str| text(&paths.of_others(path));
    let iax = of_others("/etc/asterisk/iax.conf");
    let logger: Vec<String> =
        find::ASTERISK_LOGGER.iter().filter_map(|path| of_others(path)).collect();
    let logger = Some(logger.join("\n")).filter(|_| !logger.is_empty());
    let (ari, http) = (of_others("/etc/asterisk/ari.conf"), of_others("/etc/asterisk/http.conf"));
    let first = |paths: [&'static str; 2]| {
        paths.into_iter().find_map(|path| Some((path, of_others(path)?)))
    };
    let kamailio = first(["/etc/kamailio/kamailio.cfg", "/usr/local/etc/kamailio/kamailio.cfg"]);
    let opensips = first(["/etc/opensips/opensips.cfg", "/usr/local/etc/opensips/opensips.cfg"]);
    blind::find(&Texts {
        asterisk_iax: iax.as_deref(),
        asterisk_logger: logger.as_deref(),
        asterisk_ari: ari.as_deref(),
        asterisk_http: http.as_deref(),
        freeswitch: &profiles(paths),
        kamailio: kamailio.as_ref().map(|(path, text)| (*path, text.as_str())),
        opensips: opensips.as_ref().map(|(path, text)| (*path, text.as_str())),
    })
}

fn profiles(paths: &Paths) -> Vec<(String, String)> {
    let folders = ["/etc/freeswitch/sip_profiles", "/usr/local/freeswitch/conf/sip_profiles"];
    let mut found = Vec::new();
    for folder in folders {
        let entries = fs::read_dir(paths.of_others(folder)).into_iter().flatten().flatten();
        for entry in entries.take(MAX_PROFILES) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_profile = entry.path().extension().is_some_and(|it| it == "xml");
            if let Some(text) = text(&entry.path()).filter(|_| is_profile) {
                found.push((format!("{folder}/{name}"), text));
            }
        }
    }
    found.sort();
    found
}

/// A file's text; none where it is not there. Only regular files: a pipe would block.
pub(super) fn text(path: &Path) -> Option<String> {
    text_up_to(path, MAX_FILE)
}

/// The same, but not more than so many bytes.
pub(super) fn text_up_to(path: &Path, most: u64) -> Option<String> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
