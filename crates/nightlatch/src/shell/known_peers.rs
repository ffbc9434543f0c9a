//! Learned state that outlives a reboot, saved periodically: the kernel's sets survive a restart of the
//! daemon, but neither a flush nor a reboot.

use std::fs::{self, File};
use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::path::PathBuf;

use nightlatch_core::learned::{self, LearnedSets};
use nightlatch_core::time::Time;

use super::paths::Paths;

/// The most that is read: three sets of two families, each full.
const MAX_BYTES: u64 = 128 << 20;

/// The file.
#[derive(Debug)]
pub struct Saved {
    path: PathBuf,
    /// What the file contains; `None` if nothing was saved yet.
    content: Option<LearnedSets>,
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
    pub fn load(&self) -> std::io::Result<LearnedSets> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(LearnedSets::default()),
            file => file?,
        };
        let mut text = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut text)?;
        let sets = learned::read(&text, learned::all());
        sets.map_err(|error| Error::new(ErrorKind::InvalidData, error))
    }

    /// Saves what is known if that differs enough from the file's content.
    ///
    /// # Errors
    /// The disk fails or is full. Then the old file is unchanged.
    pub fn save(&mut self, sets: &LearnedSets, now: Time) -> std::io::Result<()> {
        if self.content.as_ref().is_some_and(|saved| !sets.differs_from(saved, now)) {
            return Ok(());
        }
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(learned::write(sets, now).as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        self.content = Some(sets.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nightlatch_core::signalling::{Learned, LearnedBy, Peer};

    use super::*;

    #[test]
    fn what_was_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let mut saved = Saved { path: directory.path().join("peers.json"), content: None };
        assert_eq!(saved.load().unwrap(), LearnedSets::default());
        let (now, later) = (Time::from_millis(1), Time::from_millis(9));
        let peer = |by, address: &str| Peer {
            by,
            address: address.parse().unwrap(),
            port: 5060,
            local_port: 5060,
        };
        let registered = peer(LearnedBy::Registered, "203.0.113.70");
        let asked = peer(LearnedBy::Asked, "2001:db8::1");
        let learned: Learned = [(registered, later), (asked, later)].into_iter().collect();
        saved.save(&learned.sets, now).unwrap();
        let restored: Learned = [(registered, later)].into_iter().collect();
        assert_eq!(saved.load().unwrap(), restored.sets);
        // Renewed by less than a quarter of its time: not worth another write.
        let renewed: Learned = [(registered, Time::from_millis(99))].into_iter().collect();
        saved.save(&renewed.sets, now).unwrap();
        assert_eq!(saved.load().unwrap(), restored.sets);
        saved.save(&LearnedSets::default(), now).unwrap();
        assert_eq!(saved.load().unwrap(), LearnedSets::default());
        fs::write(&saved.path, "[{").unwrap();
        assert!(saved.load().is_err());
    }
}
