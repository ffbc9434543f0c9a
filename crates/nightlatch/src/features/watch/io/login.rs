//! As whom the program logs in at a manager interface, and whose program answers there.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nightlatch_core::features::watch::Login;
use nightlatch_core::secret::Secret;

use super::system;
use crate::features::watch::find;
use crate::features::watch::manager::{Manager, User};
use crate::shell::paths::Paths;
use crate::shell::sockets::SocketLine;

/// Where Asterisk says who may log in, and what it includes there.
const MANAGER: &str = "/etc/asterisk/manager.conf";
/// The most files that it includes.
const MAX_INCLUDED: usize = 32;
/// The longest secret, in bytes.
const MAX_SECRET: u64 = 4096;

/// The manager interface of the Asterisk on this host, if it is on.
pub(super) fn manager(paths: &Paths) -> Option<Manager> {
    let text = system::text(&paths.of_others(MANAGER))?;
    let mut whole = String::with_capacity(text.len());
    let mut included = 0;
    for line in text.lines() {
        match included_by(line).filter(|_| included < MAX_INCLUDED) {
            None => whole.push_str(line),
            Some(name) => {
                for text in texts(paths, name) {
                    included += 1;
                    whole.push_str(&text);
                    whole.push('\n');
                }
            }
        }
        whole.push('\n');
    }
    Manager::read(&whole)
}

/// The file that a line includes; more than one where it ends in `*.conf`.
fn included_by(line: &str) -> Option<&str> {
    let rest = line.trim_start();
    let rest = rest.strip_prefix("#include").or_else(|| rest.strip_prefix("#tryinclude"))?;
    let name = rest.split(';').next()?.trim().trim_matches(['"', '<', '>']);
    (!name.is_empty() && !name.split('/').any(|part| part == "..")).then_some(name)
}

fn texts(paths: &Paths, name: &str) -> Vec<String> {
    let place = paths.of_others(&if name.starts_with('/') {
        name.to_owned()
    } else {
        format!("{}/{name}", find::ASTERISK)
    });
    let Some(folder) = place.parent().filter(|_| place.ends_with("*.conf")) else {
        return system::text(&place).into_iter().collect();
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).take(MAX_INCLUDED).collect();
    files.retain(|path| path.extension().is_some_and(|it| it == "conf"));
    files.sort();
    files.iter().filter_map(|path| system::text(path)).collect()
}

/// As whom to log in at a server.
///
/// # Errors
/// In words: what is missing, and what to write where.
pub(super) fn user(
    paths: &Paths,
    server: SocketAddr,
    login: Option<&Login>,
) -> Result<User, String> {
    if let Some(Login { user, secret_file: Some(file) }) = login {
        let secret = secret(Path::new(file)).map_err(|error| format!("{file}: {error}"))?;
        return Ok(User { name: user.clone(), secret });
    }
    let name = login.map(|login| login.user.as_str());
    if name.is_none() && !server.ip().is_loopback() {
        return Err("write user and secret-file into its table [[watch]]".to_owned());
    }
    let found = manager(paths).and_then(|manager| manager.user(name).cloned());
    found.ok_or_else(|| match name {
        Some(name) => format!(
            "no user \"{name}\" with a secret in {MANAGER}, or enabled is not yes: write [{name}] there, or secret-file into the table [[watch]]"
        ),
        None => format!(
            "no user with read = security in {MANAGER}, or enabled is not yes: write one there, e.g. [nightlatch]"
        ),
    })
}

/// The first line of a file that is not for everybody.
fn secret(path: &Path) -> Result<Secret<String>, String> {
    let found = fs::metadata(path).map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if found.permissions().mode() & 0o007 != 0 {
        return Err("everyone on this machine may read it: run chmod 600 on it".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_SECRET).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let bytes = Secret::new(bytes);
    let line = bytes.reveal().split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let secret = String::from_utf8(line.to_vec()).ok().filter(|secret| !secret.is_empty());
    secret.map(Secret::new).ok_or_else(|| "its first line has to be the secret".to_owned())
}

/// The user whose program has the other end of a connection within this host; `None` if it has no socket here.
pub(super) fn user_of_peer(own: SocketAddr, peer: SocketAddr) -> Option<u32> {
    let tables = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
    let tables = tables.into_iter().filter_map(|path| File::open(path).ok());
    let lines = tables.flat_map(|table| BufReader::new(table).lines().map_while(Result::ok));
    let mut found = lines.filter_map(|line| {
        let line = SocketLine::read(&line)?;
        // Without an inode, no program has accepted it yet, and the user is not known.
        let is_it =
            line.local == peer && line.remote == own && line.inode.is_some_and(|it| it != 0);
        line.user.filter(|_| is_it)
    });
    found.next()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_included() {
        assert_eq!(included_by("#include manager_custom.conf ; own"), Some("manager_custom.conf"));
        assert_eq!(included_by(" #tryinclude \"manager.d/*.conf\""), Some("manager.d/*.conf"));
        assert_eq!(included_by("#include ../x"), None);
        assert_eq!(included_by(";#include x"), None);
        assert_eq!(included_by("#exec x"), None);
    }

    #[test]
    fn a_secret_is_not_for_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "a b\r\nmore").unwrap();
        let allow = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        allow(0o644);
        assert!(secret(&path).unwrap_err().contains("chmod 600"));
        allow(0o640);
        assert_eq!(secret(&path).unwrap().reveal(), "a b");
        fs::write(&path, "").unwrap();
        assert!(secret(&path).unwrap_err().contains("first line"));
        assert!(secret(folder.path()).is_err());
    }

    #[test]
    fn whose_program_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (own, peer) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let server = listener.accept().unwrap();
        assert_eq!(user_of_peer(own, peer), Some(rustix::process::geteuid().as_raw()));
        drop(server);
        drop(client);
        assert_eq!(user_of_peer(peer, own), None);
    }
}
