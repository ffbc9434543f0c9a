//! How much has arrived of what is being fetched.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many bytes have arrived of everything that is being fetched, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arriving(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

impl Arriving {
    /// Of everything that is being fetched.
    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(name, bytes)| (name.clone(), bytes.load(Ordering::Relaxed))).collect()
    }

    /// It is fetched from now on. Whoever fetches it adds to the number.
    pub(crate) fn begin(&self, name: &str) -> Arc<AtomicU64> {
        let bytes = Arc::new(AtomicU64::new(0));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_owned(), Arc::clone(&bytes));
        bytes
    }

    /// It is no longer fetched.
    pub(crate) fn end(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}
