//! Where the lines of a log went when it was rotated: files beside it that begin with its name.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file::{LogFile, Position};

/// The most names of a folder that are looked at.
const MAX_NAMES: usize = 10_000;
/// The most files that are opened.
const MAX_FILES: usize = 64;
/// What packed files end with: they cannot be read.
const PACKED: [&str; 5] = [".gz", ".xz", ".bz2", ".zst", ".lz4"];

/// The files in which a log goes on that was read up to a position: the one that was read, at that
/// position, and all that are younger, at their beginning. None if it is not found.
pub(super) fn rest_of(path: &Path, position: &Position) -> Vec<LogFile> {
    let mut files: Vec<(SystemTime, PathBuf)> = siblings(path);
    files.sort_by(|(one, path), (other, of_other)| match one.cmp(other) {
        // `log.2` is older than `log.1`.
        Ordering::Equal => of_other.cmp(path),
        order => order,
    });
    drop(files.drain(..files.len().saturating_sub(MAX_FILES)));
    let mut open: Vec<LogFile> =
        files.iter().filter_map(|(_, path)| LogFile::open(path).ok()).collect();
    let by_id = open.iter_mut().position(|file| file.id() == position.id && file.resume(position));
    let found = by_id.or_else(|| {
        // A copy, before the log itself was emptied. Everything begins with nothing.
        let is_known = position.offset > 0;
        open.iter_mut().position(|file| is_known && file.resume(position))
    });
    match found {
        Some(found) => open.split_off(found),
        None => Vec::new(),
    }
}

fn siblings(path: &Path) -> Vec<(SystemTime, PathBuf)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str))
    else {
        return Vec::new();
    };
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_NAMES);
    let found = entries.filter_map(|entry| {
        let other = entry.file_name().into_string().ok()?;
        let is_rotated = other != name && other.starts_with(stem);
        let is_packed = PACKED.iter().any(|end| other.ends_with(end));
        let found = entry.metadata().ok().filter(|it| is_rotated && !is_packed && it.is_file())?;
        Some((found.modified().ok()?, entry.path()))
    });
    found.collect()
}
