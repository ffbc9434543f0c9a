//! Whether only root can change the file that is run.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nightlatch_core::features::notices::{MAX_TEXT, visible};

use super::DeliveryError;

/// The most symbolic links on the way, as in the kernel.
const MAX_LINKS: usize = 40;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// What somebody but root could change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command is not run, because {what}: {remedy}")]
pub(super) struct Unsafe {
    what: String,
    remedy: &'static str,
}

/// Follows a path link by link. The file, every folder and every link on the way must belong to root,
/// or to the user that this process runs as; the file and the folders must not be writable by others.
/// A folder with the sticky bit may be: nobody else can replace what belongs to root in it.
pub(super) fn check(path: &Path) -> Result<(), DeliveryError> {
    let (mut place, mut links) = (PathBuf::from("/"), 0);
    let mut rest = names_of(path).ok_or_else(|| not_found(path))?;
    check_folder(&place, &look_at(&place)?)?;
    while let Some(name) = rest.pop_front() {
        place.push(name);
        let found = look_at(&place)?;
        check_owner(&place, &found)?;
        if found.is_symlink() {
            links += 1;
            let target = fs::read_link(&place)?;
            place.pop();
            if target.is_absolute() {
                place = PathBuf::from("/");
            }
            // A name of `..` is rare in a link, and would need a look back.
            let target = names_of(&target).filter(|_| links <= MAX_LINKS);
            let Some(mut names) = target else {
                return Err(unsafe_at(&place, "has too complicated links", "write its real path"));
            };
            names.append(&mut rest);
            rest = names;
        } else if found.is_dir() {
            check_folder(&place, &found)?;
        } else {
            return if rest.is_empty() { check_file(&place, &found) } else { Err(not_found(path)) };
        }
    }
    Err(DeliveryError::NotExecutable { path: shown(path), why: "it is a folder".to_owned() })
}

/// The names in a path, or `None` if it goes back.
fn names_of(path: &Path) -> Option<VecDeque<OsString>> {
    let mut names = VecDeque::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => names.push_back(name.to_owned()),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(names)
}

fn look_at(place: &Path) -> Result<Metadata, DeliveryError> {
    fs::symlink_metadata(place).map_err(|error| DeliveryError::of_start(error, place.as_os_str()))
}

fn check_owner(place: &Path, found: &Metadata) -> Result<(), DeliveryError> {
    let own = rustix::process::geteuid().as_raw();
    if found.uid() == 0 || found.uid() == own {
        return Ok(());
    }
    Err(unsafe_at(place, "does not belong to root", "run \"chown root\" on it"))
}

fn check_folder(place: &Path, found: &Metadata) -> Result<(), DeliveryError> {
    check_owner(place, found)?;
    if found.mode() & WRITABLE_BY_OTHERS == 0 || found.mode() & STICKY != 0 {
        return Ok(());
    }
    Err(unsafe_at(place, "is a folder that others can write to", "run \"chmod go-w\" on it"))
}

fn check_file(place: &Path, found: &Metadata) -> Result<(), DeliveryError> {
    if !found.is_file() {
        let why = "it is not a regular file".to_owned();
        return Err(DeliveryError::NotExecutable { path: shown(place), why });
    }
    if found.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(unsafe_at(place, "can be written by others", "run \"chmod go-w\" on it"));
    }
    if found.mode() & 0o111 == 0 {
        let why = "run \"chmod +x\" on it".to_owned();
        return Err(DeliveryError::NotExecutable { path: shown(place), why });
    }
    Ok(())
}

fn unsafe_at(place: &Path, what: &str, remedy: &'static str) -> DeliveryError {
    DeliveryError::UnsafeOwner(Unsafe { what: format!("{} {what}", shown(place)), remedy })
}

fn not_found(path: &Path) -> DeliveryError {
    DeliveryError::NotFound { path: shown(path) }
}

fn shown(path: &Path) -> String {
    visible(&path.to_string_lossy(), MAX_TEXT)
}
