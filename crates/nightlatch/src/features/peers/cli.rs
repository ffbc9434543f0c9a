//! `peer list`, `peer forget`.

use std::net::IpAddr;
use std::process::ExitCode;

use nightlatch_core::api::{self, KnownPeer};
use nightlatch_core::features::Reply;
use nightlatch_core::features::peers::{self, Request};
use nightlatch_core::time::{Time, show_span};

use crate::features::context::{Context, Run};
use crate::shell::outcome::{Failure, Outcome};
use crate::shell::{addresses, client, clock, screen};
use crate::wording::did;

/// List or forget the peers known from this host's own requests
#[derive(clap::Args, Debug)]
pub struct PeerCommand {
    #[command(subcommand)]
    command: Peer,
}

#[derive(clap::Subcommand, Debug)]
enum Peer {
    /// List known peers and why each of them is known
    List,
    /// Forget a peer: its packets are dropped until this host sends to it again
    Forget {
        /// The address
        #[arg(value_parser = addresses::one)]
        address: IpAddr,
    },
}

impl Run for PeerCommand {
    fn run(&self, context: &Context) -> Outcome {
        match self.command {
            Peer::Forget { address } => {
                context.change(api::Request::of(Request::Forget { address }))
            }
            Peer::List => {
                let (known, count) = known(context)?;
                if context.json {
                    screen::say_json(&serde_json::json!({ "peers": known, "count": count }));
                } else {
                    list(&known, count);
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// The known peers, and how many there are in all.
fn known(context: &Context) -> Result<(Vec<KnownPeer>, usize), Failure> {
    let unexpected = || {
        Failure::failed(
            "unexpected reply from the daemon; if Nightlatch was updated, restart the daemon",
        )
    };
    let reply = client::ask(&context.paths, api::Request::Status)?;
    let api::Reply::Status(status) = reply else { return Err(unexpected()) };
    let report = status.reports.into_iter().find_map(|report| match report {
        Reply::Peers(peers::Reply::Report { first, count, .. }) => Some((first, count)),
        _ => None,
    });
    report.ok_or_else(unexpected)
}

fn list(known: &[KnownPeer], count: usize) {
    if known.is_empty() {
        screen::say("No known peers: this host has sent no SIP or IAX request recently.");
        return;
    }
    let now = clock::now();
    let rows: Vec<Vec<String>> = known.iter().map(|known| row(known, now)).collect();
    screen::table(&["PEER", "PORT", "LOCAL PORT", "WHY", "LAST SENT", "EXPIRES IN"], &rows);
    let more = count.saturating_sub(known.len());
    if more > 0 {
        screen::say(format!("and {more} more"));
    }
}

fn row(known: &KnownPeer, now: Time) -> Vec<String> {
    let port = |port: u16| if port == 0 { "any".to_owned() } else { port.to_string() };
    vec![
        known.peer.address.to_string(),
        port(known.peer.port),
        port(known.peer.local_port),
        did(known.peer.by).to_owned(),
        format!("{} ago", show_span(now.since(known.seen))),
        show_span(known.until.since(now)),
    ]
}
