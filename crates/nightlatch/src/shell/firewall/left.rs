//! What an earlier run left in the kernel: by it a restart need not load long lists anew.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nightlatch_core::ruleset::ListSets;
use nightlatch_parse::ranges::RangeList;
use serde::{Deserialize, Serialize};

/// A note in the run folder, which a reboot empties, of the lists that stand and of the kernel's
/// count of changes up to which they are known to stand.
///
/// The kernel counts every change of any ruleset. Where the count is the same, nobody has changed
/// anything since, and what was left stands exactly so.
#[derive(Debug, Default)]
pub(super) struct Left {
    path: Option<PathBuf>,
    hashed: Option<(Arc<RangeList>, u64)>,
    written: Option<Note>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    generation: u32,
    /// The number of the network namespace, each of which counts for itself.
    namespace: u64,
    lists: u64,
    /// The sets that hold them.
    list_sets: ListSets,
}

impl Left {
    /// Keeps the note in a file.
    pub(super) fn at(path: PathBuf) -> Left {
        Left { path: Some(path), ..Left::default() }
    }

    /// In which sets exactly these lists were left, where nothing has changed since.
    pub(super) fn sets_of(&mut self, lists: &Arc<RangeList>, generation: u32) -> Option<ListSets> {
        let text = fs::read(self.path.as_ref()?).ok()?;
        let note: Note = serde_json::from_slice(&text).ok()?;
        let now = self.note(lists, &note.list_sets, generation)?;
        (note == now).then_some(note.list_sets)
    }

    /// Notes that lists stand in these sets. A note that cannot be written costs only time.
    pub(super) fn note_that(
        &mut self,
        lists: &Arc<RangeList>,
        list_sets: &ListSets,
        generation: u32,
    ) {
        let note = self.note(lists, list_sets, generation);
        if note == self.written {
            return;
        }
        let (Some(path), Some(note)) = (&self.path, note) else { return };
        let beside = path.with_extension("new");
        let text = serde_json::to_vec(&note).unwrap_or_default();
        let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
        self.written = written.is_ok().then_some(note);
    }

    fn note(
        &mut self,
        lists: &Arc<RangeList>,
        list_sets: &ListSets,
        generation: u32,
    ) -> Option<Note> {
        let namespace = fs::metadata(Path::new("/proc/self/ns/net")).ok()?.ino();
        let known = self.hashed.as_ref().filter(|(known, _)| Arc::ptr_eq(known, lists));
        let hash = known.map_or_else(|| hash(lists), |(_, hash)| *hash);
        self.hashed = Some((Arc::clone(lists), hash));
        Some(Note { generation, namespace, lists: hash, list_sets: list_sets.clone() })
    }
}

fn hash(lists: &RangeList) -> u64 {
    let mut hasher = DefaultHasher::new();
    for range in lists.iter() {
        (range.family(), range.first(), range.last()).hash(&mut hasher);
    }
    hasher.finish()
}
