//! The peers known from this host's own requests, saved periodically: the kernel's sets survive a
//! restart of the daemon, but neither a flush nor a reboot.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::PathBuf;

use nightlatch_core::signalling::{Learned, LearnedBy, Peer};
use nightlatch_core::time::Time;
use serde::{Deserialize, Serialize};

use super::paths::Paths;

/// The most that is read: four sets of two families, each full.
const MAX_BYTES: u64 = 128 << 20;

/// The file.
#[derive(Debug)]
pub struct Saved {
    path: PathBuf,
    /// What the file contains; `None` if nothing was saved yet.
    content: Option<Learned>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(flatten)]
    peer: Peer,
    until: Time,
}

impl Saved {
    /// The file in the state folder.
    pub fn of(paths: &Paths) -> Saved {
        Saved { path: paths.known_peers(), content: None }
    }

    /// What was saved.
    ///
    /// # Errors
    /// The file is damaged or cannot be read. Then no peer is known until this host sends again.
    pub fn load(&self) -> std::io::Result<Learned> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Learned::default()),
            file => file?,
        };
        let mut text = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut text)?;
        let rows: Vec<Row> = serde_json::from_slice(&text)?;
        Ok(rows.into_iter().map(|row| (row.peer, row.until)).collect())
    }

    /// Saves the known peers if they differ from the file's content. Peers that this host only asked
    /// are omitted, since they expire within a minute.
    ///
    /// # Errors
    /// The disk fails or is full. Then the old file is unchanged.
    pub fn save(&mut self, learned: &Learned, now: Time) -> std::io::Result<()> {
        let lasting = learned.at(now).filter(|(peer, _)| peer.by != LearnedBy::Asked);
        let lasting: Learned = lasting.collect();
        if self.content.as_ref() == Some(&lasting) {
            return Ok(());
        }
        let rows: Vec<Row> = lasting.at(now).map(|(peer, until)| Row { peer, until }).collect();
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(&rows)?)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        self.content = Some(lasting);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let mut saved = Saved { path: directory.path().join("peers.json"), content: None };
        assert_eq!(saved.load().unwrap(), Learned::default());
        let (now, later) = (Time::from_millis(1), Time::from_millis(9));
        let peer = |by, address: &str| Peer {
            by,
            address: address.parse().unwrap(),
            port: 5060,
            local_port: 5060,
        };
        let registered = peer(LearnedBy::Registered, "203.0.113.70");
        let asked = peer(LearnedBy::Asked, "2001:db8::1");
        let learned = [(registered, later), (asked, later)].into_iter().collect();
        saved.save(&learned, now).unwrap();
        assert_eq!(saved.load().unwrap(), [(registered, later)].into_iter().collect());
        fs::write(&saved.path, "[{").unwrap();
        assert!(saved.load().is_err());
    }
}
