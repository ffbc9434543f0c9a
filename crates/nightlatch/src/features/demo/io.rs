//! Finds the program of the demo, and becomes it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

#[cfg(test)]
mod tests;

/// The name of its file.
const LAB: &str = "nightlatch-lab";

/// Folders where it may be, as seen from the folder of this program's own file. They are named here
/// and not taken from the environment: PATH may name folders of somebody else.
const FOLDERS: [&str; 4] =
    ["", "../lib/nightlatch", "../libexec/nightlatch", "/usr/lib/nightlatch"];

/// Why the demo did not start.
#[derive(Debug)]
pub(super) enum NotStarted {
    /// This program does not know where its own file is.
    OwnFile(io::Error),
    /// It is in none of these places.
    NotInstalled(Vec<PathBuf>),
    /// Somebody whom this program's own file need not trust could have written it.
    NotTrusted(PathBuf, Distrust),
    /// The kernel refuses to start it.
    Refused(PathBuf, io::Error),
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distrust {
    /// It, or the symbolic link to it, belongs to this user: neither root nor the owner of this
    /// program's own file.
    Owner(u32),
    /// Everybody may write to it.
    Writable,
}

/// Becomes the program of the demo. Returns only if it cannot.
pub(super) fn become_lab(json: bool) -> NotStarted {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return NotStarted::OwnFile(error),
    };
    let lab = match find(&own, &places(&own)) {
        Ok(lab) => lab,
        Err(not_started) => return not_started,
    };
    let mut command = Command::new(&lab);
    command.args(["demo", "--program"]).arg(own);
    if json {
        command.arg("--json");
    }
    NotStarted::Refused(lab, command.exec())
}

/// Where it may be, the first choice first.
fn places(own: &Path) -> Vec<PathBuf> {
    let beside = own.parent().unwrap_or(Path::new("/"));
    let mut places: Vec<PathBuf> = Vec::new();
    for folder in FOLDERS {
        let place = match folder.strip_prefix("../") {
            Some(folder) => beside.parent().unwrap_or(beside).join(folder),
            // An absolute folder replaces the one that it is joined to.
            None => beside.join(folder),
        };
        let place = place.join(LAB);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// The first of `places` where there is a file. It must be as trustworthy as `own`, the file of this
/// program: beside a program in /tmp, anybody could have put another.
fn find(own: &Path, places: &[PathBuf]) -> Result<PathBuf, NotStarted> {
    let owner = fs::metadata(own).map_err(NotStarted::OwnFile)?.uid();
    for place in places {
        let (Ok(entry), Ok(file)) = (fs::symlink_metadata(place), fs::metadata(place)) else {
            continue;
        };
        let is_strange = |uid: &u32| *uid != 0 && *uid != owner;
        let distrust = match [entry.uid(), file.uid()].into_iter().find(is_strange) {
            Some(uid) => Distrust::Owner(uid),
            None if file.mode() & 0o002 != 0 => Distrust::Writable,
            None => return Ok(place.clone()),
        };
        return Err(NotStarted::NotTrusted(place.clone(), distrust));
    }
    Err(NotStarted::NotInstalled(places.to_vec()))
}
