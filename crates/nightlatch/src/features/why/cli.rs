//! `why`.

use std::net::IpAddr;
use std::process::ExitCode;

use nightlatch_core::api::{Reply, Request};
use nightlatch_core::service::Ports;

use super::wording;
use crate::features::context::{Context, Run};
use crate::shell::outcome::{Code, Outcome};
use crate::shell::{addresses, client, screen};

/// Explain why packets from an address are accepted or dropped; exit code 1 if dropped
#[derive(clap::Args, Debug)]
pub struct Why {
    /// The address
    #[arg(value_parser = addresses::one)]
    address: IpAddr,
    /// Destination port, e.g. udp/5060; default: any service
    #[arg(long, value_name = "PORT")]
    to: Option<Ports>,
}

impl Run for Why {
    fn run(&self, context: &Context) -> Outcome {
        let request = Request::Why { address: self.address, to: self.to };
        let Reply::Why(why) = client::ask(&context.paths, request)? else {
            return Ok(Code::Failed.exit());
        };
        let about = wording::about(&why);
        if context.json {
            screen::say_json(&about.fields);
        } else {
            about.lines.iter().for_each(|(_, line)| screen::say(line));
        }
        Ok(if why.verdict.passes { ExitCode::SUCCESS } else { Code::No.exit() })
    }
}
