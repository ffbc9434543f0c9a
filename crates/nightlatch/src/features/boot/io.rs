//! Reading what was, and keeping a copy of it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nightlatch_core::action::Level;
use nightlatch_core::config::Config;
use nightlatch_core::engine::Engine;
use nightlatch_core::learned::Lasting;
use nightlatch_core::ruleset::{Ruleset, Structure, Table};

use super::logic;
use crate::run;
use crate::shell::clock::{Clock, Stopwatch};
use crate::shell::firewall::Firewall;
use crate::shell::kept::Kept;
use crate::shell::outcome::Failure;
use crate::shell::paths::Paths;
use crate::shell::store::Store;
use crate::shell::{caller, configuration, journal, known_peers};

/// Under which key the store keeps the last configuration that was good.
const LAST_GOOD_CONFIGURATION: &str = "last good configuration";
/// The copy is renewed at most this often: it is the third line behind database and configuration.
const COPY_INTERVAL: Duration = Duration::from_secs(5);

/// Whether a firewall of ours is in the kernel.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn stands() -> Result<bool, Failure> {
    caller::require_root()?;
    Ok(Firewall::open().map_err(Failure::failed)?.table_is_there())
}

/// Puts up what should stand.
///
/// # Errors
/// The kernel refuses it.
pub(super) fn put_up(paths: &Paths) -> Result<(), Failure> {
    caller::require_root()?;
    if !paths.database().exists() && !paths.last_good().exists() {
        journal::tell(Level::Info, "nothing to load: \"nightlatch up\" was never run");
        return Ok(());
    }
    let desired = match desired(paths) {
        Ok(desired) => desired,
        Err(failure) => {
            journal::tell(Level::Error, &failure.message);
            Some((fallback(paths), Vec::new()))
        }
    };
    let Some((desired, learned)) = desired else {
        journal::tell(Level::Info, "the firewall was off at shutdown: leaving it off");
        return Ok(());
    };
    let firewall = Firewall::open().map_err(Failure::failed)?;
    let mut firewall = firewall.noting_in(paths.lists_stand());
    let put_back = firewall.load_with_lists(desired, None, learned).map_err(Failure::failed)?;
    // Not fatal: without them, inbound calls of trunks are dropped until the next registration.
    if let Err(error) = put_back {
        journal::tell(
            Level::Warning,
            &format!(
                "could not restore known peers: {error}; inbound calls of trunks may be dropped until the PBX registers again"
            ),
        );
    }
    // Records for the daemon that the lists are as they were loaded, this change included.
    let _ = firewall.is_doubtful();
    Ok(())
}

/// The table to load, and what was learned before.
type Desired = (Ruleset, Vec<Lasting>);

fn desired(paths: &Paths) -> Result<Option<Desired>, Failure> {
    let store = Store::open(paths)?;
    let state = store.state()?;
    let config = configuration::read(&paths.config).or_else(|failure| {
        journal::tell(Level::Error, &failure.message);
        journal::tell(Level::Error, "using the last good configuration instead");
        let last = store.note(LAST_GOOD_CONFIGURATION).unwrap_or_default();
        Config::read(&last).map_err(|_| failure)
    })?;
    let now = Clock::not_before(store.last_written()).now();
    let kept = Kept::of(paths);
    Ok(logic::at_boot(state, config, now, |engine| {
        run::restore_lists(engine, &kept, now);
        engine.restore_learned(run::load_known_peers(&known_peers::Saved::of(paths)));
    }))
}

fn fallback(paths: &Paths) -> Ruleset {
    let text = fs::read(paths.last_good()).ok();
    let copy = text.and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(copy) = copy {
        journal::tell(Level::Error, "loading the copy of the last good firewall instead");
        copy
    } else {
        journal::tell(
            Level::Error,
            "there is no copy of the last good firewall: blocking everything except SSH",
        );
        logic::emergency()
    }
}

/// Keeps the text of a configuration that was good, for a boot at which the file is not.
pub fn keep_configuration(store: &Store, path: &Path) {
    let text = fs::read_to_string(path).unwrap_or_default();
    if store.note(LAST_GOOD_CONFIGURATION).as_deref() != Some(&text)
        && let Err(error) = store.keep_note(LAST_GOOD_CONFIGURATION, &text)
    {
        journal::tell(Level::Warning, &format!("the configuration could not be copied: {error}"));
    }
}

/// A copy of the firewall as it was sent to the kernel.
#[derive(Debug)]
pub struct Copy {
    table: Arc<Table>,
    structure: Structure,
}

/// Decides when the copy is renewed.
#[derive(Debug)]
pub struct Copying {
    /// What the copy holds.
    revision: Option<u64>,
    last: Option<Stopwatch>,
    failed: Arc<AtomicBool>,
}

/// Writes the copy into the state folder.
#[derive(Debug)]
pub struct Copies {
    path: PathBuf,
    failed: Arc<AtomicBool>,
}

/// What writes the copy, and what decides when.
pub fn copies(paths: &Paths) -> (Copies, Copying) {
    let failed = Arc::new(AtomicBool::new(false));
    let copies = Copies { path: paths.last_good(), failed: Arc::clone(&failed) };
    (copies, Copying { revision: None, last: None, failed })
}

impl Copying {
    /// What the copy is to be now, if something changed and the last one is old enough.
    pub fn due(&mut self, engine: &Engine) -> Option<Option<Box<Copy>>> {
        let soon = self.last.as_ref().is_some_and(|last| last.elapsed() < COPY_INTERVAL);
        let is_new = self.revision == Some(engine.revision());
        if soon || (is_new && !self.failed.load(Ordering::Relaxed)) {
            return None;
        }
        self.last = Some(Stopwatch::start());
        self.revision = Some(engine.revision());
        // On trial there is nothing good yet.
        if engine.state().posture().protection.trial_end().is_some() {
            return None;
        }
        Some(engine.sent().map(|(table, structure)| Box::new(Copy { table, structure })))
    }
}

impl Copies {
    /// Renews the copy, or removes it.
    pub fn keep(&mut self, copy: Option<Box<Copy>>) {
        let kept = match copy.map(|copy| *copy) {
            Some(Copy { table, structure }) => {
                let ruleset = Ruleset::flat(structure, &table, Arc::default());
                drop(table);
                write(&self.path, &ruleset)
            }
            None => remove(&self.path),
        };
        let failed_before = self.failed.swap(kept.is_err(), Ordering::Relaxed);
        if let Some(error) = kept.err().filter(|_| !failed_before) {
            let message = format!("the last good firewall could not be copied: {error}; retrying");
            journal::tell(Level::Warning, &message);
        }
    }
}

/// Whole or not at all: a new file takes the old one's place.
fn write(path: &Path, ruleset: &Ruleset) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(&serde_json::to_vec(ruleset)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
