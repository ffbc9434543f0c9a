//! The rules of the project that no compiler knows: sizes, who may name what, words that must
//! not stay. Each rule is a pure function of a file's place and text; see [`rules`].

mod code;
mod features;
mod lab;
mod rules;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// Folders that hold no text of ours: build results, version control, collected inputs.
const NOT_OURS: [&str; 6] = [".git", "target", "corpus", "artifacts", "captures", "testdata"];

/// A text file of the project.
#[derive(Debug)]
pub(crate) struct File {
    /// From the root of the project, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// From 1.
    pub(crate) line: usize,
    pub(crate) what: String,
    /// The rule's reason.
    pub(crate) why: &'static str,
    /// What to do about it.
    pub(crate) remedy: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { path, line, what, why, remedy } = self;
        write!(f, "{path}:{line}: {what}: {why}; {remedy}")
    }
}

/// What was looked at and found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) files: usize,
    pub(crate) findings: Vec<Finding>,
}

/// Looks at every text file below `root`.
///
/// # Errors
/// A folder or file cannot be read.
pub(crate) fn run(root: &Path) -> io::Result<Report> {
    let mut files = Vec::new();
    collect(root, "", &mut files)?;
    let findings = rules::check(&files);
    Ok(Report { files: files.len(), findings })
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        // In a second work tree, `.git` is a file.
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            // What is not UTF-8 is no text: pictures, captured packets.
            if let Ok(text) = String::from_utf8(fs::read(entry.path())?) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}
