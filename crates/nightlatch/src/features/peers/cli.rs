//! `peer list`, `peer forget`.

use std::net::IpAddr;
use std::process::ExitCode;

use nightlatch_core::api::{KnownPeer, Reply, Request, Status};
use nightlatch_core::signalling::did;
use nightlatch_core::time::{Time, show_span};

use crate::features::{Context, Run};
use crate::shell::outcome::{Failure, Outcome};
use crate::shell::{addresses, client, clock, screen};

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
            Peer::Forget { address } => context.change(Request::ForgetPeer { address }),
            Peer::List => {
                let Reply::Status(status) = client::ask(&context.paths, Request::Status)? else {
                    return Err(Failure::failed(
                        "unexpected reply from the daemon; if Nightlatch was updated, restart the daemon",
                    ));
                };
                if context.json {
                    let (peers, count) = (&status.known_peers, status.known_peer_count);
                    screen::say_json(&serde_json::json!({ "peers": peers, "count": count }));
                } else {
                    list(&status);
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn list(status: &Status) {
    if status.known_peers.is_empty() {
        screen::say("No known peers: this host has sent no SIP or IAX request recently.");
        return;
    }
    let now = clock::now();
    let rows: Vec<Vec<String>> = status.known_peers.iter().map(|known| row(known, now)).collect();
    screen::table(&["PEER", "PORT", "LOCAL PORT", "WHY", "LAST SENT", "EXPIRES IN"], &rows);
    let more = status.known_peer_count - status.known_peers.len();
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
