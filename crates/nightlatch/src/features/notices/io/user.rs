//! The user that the command runs as.

use std::fs::File;
use std::io::{self, Read as _};

/// The most bytes of the file of users that are read.
const MAX_FILE: u64 = 4 << 20;
const FILE: &str = "/etc/passwd";

/// A local user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    /// The name.
    pub(super) name: String,
    /// The number.
    pub(super) uid: u32,
    /// The number of the main group.
    pub(super) gid: u32,
}

/// Why there is no such user.
#[derive(Debug, thiserror::Error)]
pub(super) enum UserError {
    /// Not in the file of users.
    #[error("there is no local user \"{0}\": write the name of one that is in {FILE}")]
    Unknown(String),
    /// The file of users.
    #[error("{FILE} cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

impl User {
    /// Finds a local user by name. Users of a directory service are not found: a notice must be
    /// delivered without the network.
    ///
    /// # Errors
    /// There is none, or the file of users cannot be read.
    pub(super) fn find(name: &str) -> Result<User, UserError> {
        let mut text = Vec::new();
        File::open(FILE)?.take(MAX_FILE).read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let found = text.lines().find_map(|line| User::read(line).filter(|user| user.name == name));
        found.ok_or_else(|| UserError::Unknown(name.to_owned()))
    }

    /// Reads `name:password:uid:gid:...`, see passwd(5).
    fn read(line: &str) -> Option<User> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { name, uid, gid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users() {
        let user = |name: &str, uid, gid| Some(User { name: name.to_owned(), uid, gid });
        assert_eq!(User::read("nobody:x:65534:65534:x:/:/bin/false"), user("nobody", 65534, 65534));
        for line in
            ["", "a", "a:x", "a:x:1", "a:x:y:1:", "a:x:-1:1:", ":x:0:0:", "a:x:4294967296:1:"]
        {
            assert_eq!(User::read(line), None, "{line}");
        }
        assert_eq!(User::find("root").unwrap().uid, 0);
        let error = User::find("no-such-user").unwrap_err().to_string();
        assert!(error.starts_with("there is no local user \"no-such-user\""), "{error}");
    }
}
