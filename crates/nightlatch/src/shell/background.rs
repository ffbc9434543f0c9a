//! What features have done in the background, and the way back from there to the loop.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nightlatch_core::event;
use nightlatch_core::features::Event;

use super::arriving::Arriving;
use super::inbox::{Inbox, Message};
use super::kept::Kept;
use super::paths::Paths;
use super::resolver::Resolver;

/// Something that a feature does with the kept lists, and what the engine must know of it.
pub(crate) type WithKept = Box<dyn FnOnce(&Kept) -> Option<Event> + Send>;

/// What a feature has for its work in the background.
pub(crate) struct Background {
    inbox: Inbox,
    /// Where state and sockets are.
    pub(crate) paths: Paths,
    /// Hands work to the files lane.
    files: Box<dyn Fn(WithKept) + Send>,
    /// How much has arrived of what is being fetched.
    pub(crate) arriving: Arriving,
    /// Looks host names up, once something wants that.
    pub(crate) resolver: OnceLock<Option<Resolver>>,
    /// What features keep for their further work, by type.
    kept: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Background {
    pub(crate) fn new(
        inbox: Inbox,
        paths: Paths,
        files: impl Fn(WithKept) + Send + 'static,
    ) -> Background {
        let files = Box::new(files);
        Background {
            inbox,
            paths,
            files,
            arriving: Arriving::default(),
            resolver: OnceLock::new(),
            kept: Mutex::default(),
        }
    }

    /// What a feature keeps for its further work; made when it is first asked for.
    pub(crate) fn keep<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = kept.get(&TypeId::of::<T>()).cloned()
            && let Ok(there) = there.downcast()
        {
            return there;
        }
        let made = Arc::new(make());
        kept.insert(TypeId::of::<T>(), Arc::<T>::clone(&made));
        made
    }

    /// What a feature keeps, if it was made.
    pub(crate) fn kept<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&TypeId::of::<T>()).cloned().and_then(|there| there.downcast().ok())
    }

    /// Does something in a thread of its own; what comes of it goes to the loop.
    pub(crate) fn in_thread<E: Into<Event>>(&self, work: impl FnOnce() -> E + Send + 'static) {
        let inbox = self.inbox.clone();
        std::thread::spawn(move || tell(&inbox, work().into()));
    }

    /// Does something with the kept lists in the files lane, after what was to be done there before.
    /// What the engine must know of it goes to the loop.
    pub(crate) fn with_kept<E: Into<Event>>(
        &self,
        work: impl FnOnce(&Kept) -> Option<E> + Send + 'static,
    ) {
        let work = move |kept: &Kept| work(kept).map(Into::into);
        (self.files)(Box::new(work));
    }

    /// Tells the loop what came of work that goes on.
    pub(crate) fn teller<E: Into<Event>>(&self) -> impl Fn(E) + Send + 'static {
        let inbox = self.inbox.clone();
        move |event| tell(&inbox, event.into())
    }

    /// Has the published ports looked up soon.
    pub(crate) fn look_up_published(&self) {
        let _ = self.inbox.send(Message::MayBePublished);
    }
}

/// Tells the loop what came of a job. Where nobody takes it, the daemon has ended.
pub(crate) fn tell(inbox: &Inbox, event: Event) {
    let _ = inbox.send(Message::Happened(event::Event::Feature(event)));
}
