//! To which containers ports of this host are published, for the daemon.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;

use super::{Reader, Root};
use crate::run::Message;

/// Looks it up in a thread of its own; the answer comes to the loop.
pub fn published_in_background(inbox: SyncSender<Message>) {
    std::thread::spawn(move || {
        let published = {
            let root = Root::system();
            Reader { root: &root, unread: Vec::new() }.published_endpoints()
        };
        // A loop that has ended wants nothing any more.
        let _ = inbox.send(Message::Published(published));
    });
}

impl Reader<'_> {
    /// The containers' own addresses and ports.
    fn published_endpoints(&mut self) -> BTreeSet<SocketAddr> {
        super::super::logic::published::endpoints(&self.published_ports())
    }
}
