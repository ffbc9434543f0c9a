//! `why`.

use std::net::IpAddr;
use std::process::ExitCode;

use nightlatch_core::api::{Reply, Request, Why as Answer};
use nightlatch_core::service::Ports;

use crate::features::{Context, Run};
use crate::shell::outcome::{Code, Outcome};
use crate::shell::{addresses, client, screen};

/// Say what happens to packets of an address, and why; exit code 1 if they are dropped
#[derive(clap::Args, Debug)]
pub struct Why {
    /// The address
    #[arg(value_parser = addresses::one)]
    address: IpAddr,
    /// To which port, such as udp/5060; to any service without
    #[arg(long, value_name = "PORT")]
    to: Option<Ports>,
}

impl Run for Why {
    fn run(&self, context: &Context) -> Outcome {
        let request = Request::Why { address: self.address, to: self.to };
        let Reply::Why(answer) = client::ask(&context.paths, request)? else {
            return Ok(Code::Failed.exit());
        };
        if context.json {
            screen::say_json(&answer);
        } else {
            show(&answer);
        }
        Ok(if answer.passes { ExitCode::SUCCESS } else { Code::No.exit() })
    }
}

fn show(answer: &Answer) {
    screen::say(screen::printable(&answer.sentence));
    if answer.to.is_none() {
        let reaches = match answer.reaches.as_slice() {
            [] => "nothing".to_owned(),
            services => services.join(", "),
        };
        screen::say(format!("reaches   {reaches}"));
    }
    // One line for each kind of packet if their verdicts differ.
    let differ = answer.packets.iter().any(|packet| packet.passes != answer.passes);
    for packet in answer.packets.iter().filter(|_| differ) {
        screen::say(format!("packets   {}", screen::printable(&packet.sentence)));
    }
    for account in &answer.accounts {
        let range = account.range_of(answer.address).map(|range| range.to_string());
        screen::say(format!(
            "account   {}: {} for {}",
            account.name,
            range.unwrap_or_default(),
            account.services
        ));
    }
    for block in &answer.blocks {
        let reason = match block.reason.as_str() {
            "" => String::new(),
            reason => format!(": {}", screen::printable(reason)),
        };
        screen::say(format!("block     {}{reason}", block.range));
    }
}
