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
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_NAMES);
    let found = entries.filter_map(|entry| {
        let other = entry.file_name().into_string().ok()?;
        let found = entry.metadata().ok()?;
        if !is_rotated(name, &other) || !found.is_file() {
            return None;
        }
        Some((found.modified().ok()?, entry.path()))
    });
    found.collect()
}

/// Whether a log of one name gets the other when it is rotated: `log.1`, `log-20261120`, `log.old`,
/// `messages-20261120.log`. Packed ones cannot be read.
fn is_rotated(name: &str, other: &str) -> bool {
    let is_number = |text: &str| {
        let number = text.strip_prefix(['.', '-', '_']);
        let is_part = |c: char| c.is_ascii_digit() || ".-_:T".contains(c);
        number.is_some_and(|it| {
            it.starts_with(|c: char| c.is_ascii_digit()) && it.chars().all(is_part)
        })
    };
    if let Some(rest) = other.strip_prefix(name) {
        return is_number(rest) || [".old", ".prev", "~"].contains(&rest);
    }
    let Some((stem, end)) = name.rsplit_once('.') else { return false };
    let middle = other.strip_prefix(stem).and_then(|rest| rest.strip_suffix(end));
    middle.and_then(|middle| middle.strip_suffix('.')).is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::is_rotated;

    #[test]
    fn names_of_rotated_logs() {
        for (name, other) in [
            ("log", "log.1"),
            ("messages", "messages-20261120"),
            ("auth.log", "auth.log.1"),
            ("auth.log", "auth-2026-11-20.log"),
            ("error.log", "error.log-20261120"),
            ("full", "full.old"),
        ] {
            assert!(is_rotated(name, other), "{name} {other}");
        }
        // Other logs, and what cannot be read.
        for (name, other) in [
            ("security", "security.json"),
            ("messages", "messages.log"),
            ("error.log", "error-ssl.log"),
            ("log", "log.1.gz"),
            ("log", "log"),
            ("log", "log.new"),
            ("log", "log.-1x"),
        ] {
            assert!(!is_rotated(name, other), "{name} {other}");
        }
    }
}
