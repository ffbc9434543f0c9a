//! The flows lane: one thread that lists running flows. The kernel walks its whole table for each
//! listing, which takes tens of milliseconds even if it is empty.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use nightlatch_core::action::Level;
use nightlatch_core::cut::LiveFlow;
use nightlatch_core::event::Event;
use nightlatch_core::service::Catalogue;

use crate::shell::beginnings::Beginnings;
use crate::shell::flows::TrackedFlows;
use crate::shell::inbox::{Inbox, Message};
use crate::shell::{journal, lane};

/// How many flows go to the engine at once.
const AT_ONCE: usize = 4_096;

/// What the lane is asked to do.
#[derive(Debug)]
pub(super) enum FlowJob {
    /// List all flows.
    List(Arc<Catalogue>),
    /// Record who began which connection, for when connection tracking has forgotten it.
    RememberBeginnings(Arc<Catalogue>),
}

/// Begins the lane.
pub(super) fn begin(
    mut tracked: TrackedFlows,
    mut beginnings: Beginnings,
    inbox: Inbox,
) -> Sender<FlowJob> {
    let (jobs, waiting): (_, Receiver<FlowJob>) = channel();
    lane::begin("flows", move || {
        for job in waiting {
            match job {
                FlowJob::List(catalogue) => list(&mut tracked, &beginnings, &catalogue, &inbox),
                FlowJob::RememberBeginnings(catalogue) => {
                    remember(&mut tracked, &mut beginnings, &catalogue);
                }
            }
        }
    });
    jobs
}

fn list(tracked: &mut TrackedFlows, beginnings: &Beginnings, catalogue: &Catalogue, inbox: &Inbox) {
    let mut part = Vec::new();
    let send = |part: &mut Vec<LiveFlow>| {
        let _ = inbox.send(Message::Happened(Event::Flows(std::mem::take(part))));
    };
    let listed = beginnings.for_each_flow(tracked, catalogue, |flow| {
        part.push(flow);
        if part.len() >= AT_ONCE {
            send(&mut part);
        }
    });
    send(&mut part);
    let _ = inbox.send(Message::Happened(Event::FlowsListed(listed)));
}

fn remember(tracked: &mut TrackedFlows, beginnings: &mut Beginnings, catalogue: &Catalogue) {
    if !beginnings.is_due() {
        return;
    }
    if let Err(error) = beginnings.remember(tracked, catalogue) {
        let message =
            format!("could not record which side opened the established connections: {error}");
        journal::tell(Level::Warning, &message);
    }
}
