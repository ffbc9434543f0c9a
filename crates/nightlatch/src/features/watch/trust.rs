//! How far a file is trusted, by who can write it.

use nightlatch_core::detect::Trust;
use nightlatch_core::features::watch::WhyLow;

/// Who owns a file or folder, and who else may write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The bits of `chmod`.
    pub(super) mode: u32,
}

/// The users and groups that count like root: the system's own writers of logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trusted {
    pub(super) users: Vec<u32>,
    pub(super) groups: Vec<u32>,
}

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

impl Trusted {
    /// Why a file is not fully trusted: who can write it, or put another one in its place. `folders` are
    /// those in which it lies, up to the root.
    pub(super) fn why_low(&self, file: Access, folders: &[Access]) -> Option<WhyLow> {
        self.writer(file).or_else(|| {
            let mut inner = file;
            folders.iter().find_map(|folder| {
                let is_sticky = folder.mode & STICKY != 0;
                let found = match self.writer(*folder) {
                    // There, only the owner of a file may replace it.
                    Some(WhyLow::Everybody | WhyLow::Group { .. }) if is_sticky => {
                        self.owner(inner)
                    }
                    other => other,
                };
                inner = *folder;
                found
            })
        })
    }

    fn owner(&self, it: Access) -> Option<WhyLow> {
        (!self.users.contains(&it.uid)).then_some(WhyLow::User { uid: it.uid })
    }

    fn writer(&self, it: Access) -> Option<WhyLow> {
        let group = it.mode & GROUP_WRITES != 0 && !self.groups.contains(&it.gid);
        self.owner(it)
            .or_else(|| (it.mode & OTHERS_WRITE != 0).then_some(WhyLow::Everybody))
            .or_else(|| group.then_some(WhyLow::Group { gid: it.gid }))
    }
}

/// How far a log is trusted that has this fault, or none.
pub(super) fn trust(why_low: Option<&WhyLow>) -> Trust {
    if why_low.is_some() { Trust::Low } else { Trust::Full }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(uid: u32, gid: u32, mode: u32) -> Access {
        Access { uid, gid, mode }
    }

    #[test]
    fn who_can_write_decides() {
        let trusted = Trusted { users: vec![0, 104], groups: vec![0, 4] };
        let (root, var_log) = (access(0, 0, 0o755), access(0, 4, 0o775));
        let check = |file: Access, folders: &[Access], expected: Option<WhyLow>| {
            assert_eq!(trusted.why_low(file, folders), expected, "{file:?} in {folders:?}");
        };
        check(access(0, 0, 0o644), &[root, root], None);
        check(access(104, 4, 0o640), &[var_log, root], None);
        check(access(0, 4, 0o664), &[var_log, root], None);
        check(access(120, 4, 0o640), &[root], Some(WhyLow::User { uid: 120 }));
        check(access(0, 0, 0o666), &[root], Some(WhyLow::Everybody));
        check(access(0, 33, 0o660), &[root], Some(WhyLow::Group { gid: 33 }));
        // Whoever owns the folder can put another file there.
        check(access(0, 0, 0o644), &[access(120, 0, 0o755), root], Some(WhyLow::User { uid: 120 }));
        check(access(0, 0, 0o644), &[access(0, 0, 0o777), root], Some(WhyLow::Everybody));
        // Not in a folder such as /tmp, unless the file is somebody's own.
        let tmp = access(0, 0, 0o1777);
        check(access(0, 0, 0o644), &[access(0, 0, 0o700), tmp, root], None);
        check(access(0, 0, 0o644), &[tmp, root], None);
        let own = access(1000, 0, 0o755);
        check(access(0, 0, 0o644), &[own, tmp, root], Some(WhyLow::User { uid: 1000 }));
    }
}
