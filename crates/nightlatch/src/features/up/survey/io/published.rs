//! Looks up container endpoints to which ports of this host are published, for the daemon.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::{Reader, Root};
use crate::shell::inbox::{Inbox, Message};

/// Looks them up in a thread of its own and sends the result to the main loop.
pub fn published_in_background(inbox: Inbox) {
    std::thread::spawn(move || {
        let published = {
            let root = Root::system();
            Reader { root: &root, unread: Vec::new() }.published_endpoints()
        };
        // Fails only if the main loop has ended.
        let _ = inbox.send(Message::Published(published));
    });
}

impl Reader<'_> {
    /// The addresses and ports of the containers themselves.
    fn published_endpoints(&mut self) -> BTreeSet<SocketAddr> {
        super::super::logic::published::endpoints(&self.published_ports())
    }
}
