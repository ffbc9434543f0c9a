//! The stage itself: hosts, packets, and that nothing is left behind.

use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use nightlatch_lab::stage::{Host, HostPlan, NetworkPlan, Plan, Stage, StageError};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::support;

#[test]
fn hosts_reach_each_other() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    for name in ["office", "traveller", "attacker", "router"] {
        for target in [server.v4(), server.v6()] {
            ping(&stage, name, target);
        }
    }
}

#[test]
fn neighbours_on_one_network_reach_each_other_and_the_world() {
    let Some(stage) = support::stage(&Plan::standard().with_resolver()) else {
        return;
    };
    let resolver = stage.host("resolver").unwrap();
    ping(&stage, "server", resolver.v6());
    ping(&stage, "server", resolver.v4());
    ping(&stage, "attacker", resolver.v4());
    ping(&stage, "attacker", resolver.v6());
}

fn ping(stage: &Stage, from: &str, target: IpAddr) {
    let mut command = stage.host(from).unwrap().command("ping");
    let ping = command.args(["-c1", "-W1", "-q", &target.to_string()]).output().unwrap();
    assert!(ping.status.success(), "{from} to {target}: {ping:?}");
}

#[test]
fn stages_side_by_side_do_not_see_each_other() {
    let Some(first) = support::stage(&Plan::standard()) else {
        return;
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let stage = Stage::standard().unwrap();
                let server = stage.host("server").unwrap();
                ping(&stage, "attacker", server.v4());
                // The same address, another machine: what one does, the other does not feel.
                server.command("ip").args(["link", "set", "eth0", "down"]).status().unwrap();
                ping(&first, "attacker", first.host("server").unwrap().v6());
            });
        }
    });
}

#[test]
fn an_owned_network_belongs_to_the_host() {
    let plan = Plan::standard()
        .change("attacker", |host| host.owning(&["192.0.2.192/27", "2001:db8:6666::/48"]));
    let Some(stage) = support::stage(&plan) else {
        return;
    };
    for address in ["192.0.2.200", "2001:db8:6666:7::1"] {
        ping(&stage, "server", address.parse().unwrap());
    }
}

#[test]
fn a_network_behind_the_server() {
    // Containers live in private addresses; a documentation network stands for them.
    let plan = Plan::standard()
        .without("traveller")
        .network(
            NetworkPlan::new("containers", &["192.0.2.65/26", "2001:db8:c::1/64"]).behind("server"),
        )
        .host(HostPlan::new("container", "containers", &["192.0.2.66/26", "2001:db8:c::2/64"]));
    let Some(stage) = support::stage(&plan) else {
        return;
    };
    let office = stage.host("office").unwrap();
    // The router knows no way back to the containers, so the server has to be asked.
    ping(&stage, "server", stage.host("container").unwrap().v4());
    ping(&stage, "container", stage.host("server").unwrap().v6());
    assert!(stage.host("traveller").is_err());
    let route = ["route", "add", "192.0.2.64/26", "via", "198.51.100.1"];
    assert!(stage.host("router").unwrap().command("ip").args(route).status().unwrap().success());
    ping(&stage, "container", office.v4());
}

#[test]
fn a_host_can_have_directories_of_its_own() {
    let plan = Plan::standard().change("server", |host| host.with_empty("/run").with_copy("/etc"));
    let Some(stage) = support::stage(&plan) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let script = "ls -A /run | wc -l; echo here > /etc/nightlatch-stage-test; ls /etc/passwd";
    let output = server.command("sh").args(["-c", script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n/etc/passwd\n");
    assert!(!std::path::Path::new("/etc/nightlatch-stage-test").exists());
}

#[test]
fn a_plan_that_does_not_hold_together_says_what_is_missing() {
    let plan = Plan::standard().host(HostPlan::new("lost", "nowhere", &["192.0.2.99/25"]));
    match Stage::build(&plan) {
        Err(StageError::Unknown(name)) => assert_eq!(name, "nowhere"),
        Err(StageError::NotAllowed { .. } | StageError::Missing { .. }) => {
            support::stage(&plan);
        }
        other => panic!("{other:?}"),
    }
}

/// Plays the maker of a stage for the tests below, in a process of its own: prints the processes
/// of the stage and waits to be killed.
#[test]
#[ignore = "a part of nothing_is_left_after_kill_minus_nine"]
fn maker_to_be_killed() {
    let stage = Stage::standard().unwrap();
    let server = stage.host("server").unwrap();
    // One process that stays, and one that goes into the background away from its parents.
    let mut stays = server.command("sleep").arg("1000").spawn().unwrap();
    let background = "setsid sleep 1000 > /dev/null &";
    assert!(server.command("sh").args(["-c", background]).status().unwrap().success());
    support::wait_until("both run", Duration::from_secs(5), || {
        server.processes().unwrap().len() == 2
    });
    for process in server.processes().unwrap() {
        println!("process {process}");
    }
    println!("process {}", stage.keeper());
    for host in stage.hosts() {
        println!("process {}", host.holder());
    }
    println!("ready");
    stays.wait().unwrap();
}

#[test]
fn nothing_is_left_after_kill_minus_nine() {
    nothing_is_left_after(|maker| kill_process(maker, Signal::KILL));
}

#[test]
fn nothing_is_left_after_control_c_at_the_terminal() {
    nothing_is_left_after(|maker| kill_process_group(maker, Signal::INT));
}

fn nothing_is_left_after(end: impl Fn(Pid) -> rustix::io::Result<()>) {
    if support::stage(&Plan::empty()).is_none() {
        return;
    }
    let mut maker = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "stage::maker_to_be_killed"])
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut processes = Vec::new();
    for line in BufReader::new(maker.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((_, process)) = line.split_once("process ") {
            processes.push(process.parse::<u32>().unwrap());
        }
        if line == "ready" {
            break;
        }
    }
    assert_eq!(processes.len(), 8, "two in the server, the keeper, five holders: {processes:?}");
    assert!(processes.iter().all(|&process| alive(process)));
    end(Pid::from_child(&maker)).unwrap();
    maker.wait().unwrap();
    support::wait_until("all processes of the stage have ended", Duration::from_secs(5), || {
        !processes.iter().any(|&process| alive(process))
    });
}

#[test]
fn nothing_is_left_after_a_drop() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let mut child = server.command("sleep").arg("1000").spawn().unwrap();
    let background = "setsid sleep 1000 &";
    server.command("sh").args(["-c", background]).status().unwrap();
    support::wait_until("both run", Duration::from_secs(5), || {
        server.processes().unwrap().len() == 2
    });
    let mut processes = server.processes().unwrap();
    processes.push(stage.keeper());
    processes.extend(stage.hosts().iter().map(Host::holder));
    drop(stage);
    child.wait().unwrap();
    assert!(!processes.iter().any(|&process| alive(process)), "{processes:?}");
}

/// Whether a process exists and is not only waiting for its parent's attention.
fn alive(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
