//! Folders that systemd hides from the daemon.

use std::io::{Error, ErrorKind};
use std::path::Path;

/// Hidden by `ProtectHome=yes` and `PrivateTmp=yes` in the daemon's unit.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// Why a file could not be read. "No such file" would be confusing, because the file exists outside of the
/// sandbox.
pub(super) fn reason(path: &Path, error: &Error) -> String {
    let by_systemd = std::env::var_os("NOTIFY_SOCKET").is_some();
    format!("{error}{}", if by_systemd { advice(path, error.kind()) } else { "" })
}

fn advice(path: &Path, kind: ErrorKind) -> &'static str {
    let missing = matches!(kind, ErrorKind::NotFound | ErrorKind::PermissionDenied);
    let hidden = HIDDEN.iter().any(|folder| path.starts_with(folder));
    match missing && hidden {
        true => {
            "; systemd hides /home, /root, /tmp and /var/tmp from the daemon: put the file elsewhere, e.g. into /etc/nightlatch"
        }
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_folders_are_named() {
        for (path, kind, told) in [
            ("/root/list.txt", ErrorKind::NotFound, true),
            ("/tmp/list.txt", ErrorKind::NotFound, true),
            ("/root/feed.key", ErrorKind::PermissionDenied, true),
            ("/root/list.txt", ErrorKind::InvalidData, false),
            ("/rooted/list.txt", ErrorKind::NotFound, false),
            ("/etc/nightlatch/list.txt", ErrorKind::NotFound, false),
        ] {
            assert_eq!(!advice(Path::new(path), kind).is_empty(), told, "{path} {kind:?}");
        }
    }

    /// The folders named are those that the unit hides.
    #[test]
    fn the_unit_hides_them() {
        let unit = include_str!("../../../../../pkg/systemd/nightlatch.service");
        for line in ["ProtectHome=yes", "PrivateTmp=yes"] {
            assert!(unit.lines().any(|found| found == line), "{line}");
        }
    }
}
