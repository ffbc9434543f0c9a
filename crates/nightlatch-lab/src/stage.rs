//! Hosts in network namespaces: the ground on which the demo and the kernel tests play.
//!
//! A [`Stage`] is a router, which stands for the internet, and hosts around it, each in a network
//! namespace of its own with IPv4 and IPv6. The namespaces have no name and no file: they live in
//! sleeping processes, which end when the stage is dropped or when its maker dies, however it
//! dies. Nothing is ever changed in the namespace of the machine itself, and any number of stages
//! can be up side by side.
//!
//! Needs `ip`, `unshare`, `nsenter` and `setpriv`, and the right to make namespaces: root, or
//! an unprivileged user inside `unshare --user --map-root-user`.

mod offload;
mod plan;
mod ready;
mod wiring;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub use plan::{
    ATTACKER, HostPlan, NetworkPlan, OFFICE, Plan, RESOLVER, ROUTER, SERVER, TRAVELLER,
};

/// Why a stage could not be built.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A program is not installed.
    #[error("the program \"{program}\" is missing; install it (Debian: apt install {package})")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The kernel or a container refuses namespaces.
    #[error(
        "this user may not make network namespaces here ({detail}); run it as root (in a \
         container: with the capability SYS_ADMIN), or, where the machine allows user \
         namespaces, inside: unshare --user --map-root-user"
    )]
    NotAllowed {
        /// What the refusing program said.
        detail: String,
    },
    /// The plan names a host or network it does not describe.
    #[error("the plan of the stage uses \"{0}\" but does not describe it")]
    Unknown(String),
    /// `ip` refused something, or the links do not come up.
    #[error("the namespace of \"{host}\" cannot be joined to the others: {detail}")]
    Wiring {
        /// The host.
        host: String,
        /// What `ip` said, or what is missing.
        detail: String,
    },
    /// A process could not be started or talked to.
    #[error("cannot build the namespaces: {0}")]
    Io(#[from] io::Error),
}

/// A router and hosts in namespaces, until it is dropped.
#[derive(Debug)]
pub struct Stage {
    hosts: Vec<Host>,
    // The end of this pipe, by drop or by death, is what ends the keeper.
    lifeline: Option<ChildStdin>,
    keeper: Child,
}

impl Stage {
    /// Builds `plan`. Every address is usable as soon as this returns.
    ///
    /// # Errors
    ///
    /// Where a program is missing, namespaces are not allowed, or the plan does not hold together.
    pub fn build(plan: &Plan) -> Result<Stage, StageError> {
        check_programs()?;
        let mut keeper = Command::new("sh")
            .args(["-c", include_str!("stage/keeper.sh"), "nightlatch-stage", ROUTER])
            .args(plan.hosts.iter().map(|host| format!("{}:{}", host.name, host.private.join(";"))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal must not end the keeper before its work is done.
            .process_group(0)
            .spawn()?;
        let lifeline = keeper.stdin.take();
        let said = keeper.stdout.take();
        let mut stage = Stage { hosts: Vec::new(), lifeline, keeper };
        // From here on a failure drops the stage, which ends the keeper.
        let said = said.ok_or_else(|| io::Error::other("the keeper has no output"))?;
        let mut lines = BufReader::new(said).lines();
        while stage.hosts.len() <= plan.hosts.len() {
            let line = lines.next().ok_or_else(|| io::Error::other("the keeper ended"))??;
            stage.hosts.push(Host::ready(&line, plan)?);
        }
        stage.wire(plan)?;
        Ok(stage)
    }

    /// Builds the standard plan: server, office, traveller, attacker.
    ///
    /// # Errors
    ///
    /// As [`Stage::build`].
    pub fn standard() -> Result<Stage, StageError> {
        Stage::build(&Plan::standard())
    }

    /// The host called `name`.
    ///
    /// # Errors
    ///
    /// Where the plan had none of that name.
    pub fn host(&self, name: &str) -> Result<&Host, StageError> {
        let found = self.hosts.iter().find(|host| host.name == name);
        found.ok_or_else(|| StageError::Unknown(name.to_owned()))
    }

    /// All hosts, the router among them, in no particular order.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The process that ends all others of this stage when its standard input ends.
    pub fn keeper(&self) -> u32 {
        self.keeper.id()
    }

    fn wire(&self, plan: &Plan) -> Result<(), StageError> {
        let process = |name: &str| self.host(name).ok().map(|host| host.holder);
        let batches = wiring::batches(plan, process).map_err(StageError::Unknown)?;
        for batch in batches.iter().filter(|batch| !batch.links.is_empty()) {
            self.host(&batch.host)?.forward()?;
            finish(&batch.host, self.start_batch(&batch.host, &batch.links)?)?;
        }
        for host in &self.hosts {
            host.run(offload::complete_checksums)??;
        }
        let mut running = Vec::new();
        for batch in &batches {
            running.push((&batch.host, self.start_batch(&batch.host, &batch.addresses)?));
        }
        // All are waited for, also after a failure: none may be left behind.
        let results: Vec<_> =
            running.into_iter().map(|(host, child)| finish(host, child)).collect();
        results.into_iter().collect::<Result<(), _>>()?;
        for host in &self.hosts {
            let gateways = plan.gateways_of(&host.name);
            host.run(|| ready::wait(&gateways))?.map_err(|error| StageError::Wiring {
                host: host.name.clone(),
                detail: error.to_string(),
            })?;
        }
        Ok(())
    }

    fn start_batch(&self, host: &str, batch: &str) -> Result<Child, StageError> {
        let mut child = self
            .host(host)?
            .command("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // A refusal to read shows in the exit status.
            let _ = input.write_all(batch.as_bytes());
        }
        Ok(child)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // The keeper has killed everything inside before it ends; an error means it is gone.
        let _ = self.keeper.wait();
    }
}

/// A host of a stage.
#[derive(Debug)]
pub struct Host {
    name: String,
    holder: u32,
    space: File,
    own_mounts: bool,
    addresses: Vec<IpAddr>,
}

impl Host {
    /// The name in the plan.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process which holds the namespace; it only sleeps. Its namespace is
    /// `/proc/HOLDER/ns/net`.
    pub fn holder(&self) -> u32 {
        self.holder
    }

    /// All addresses of the plan, in its order.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// The first IPv4 address of the plan; 0.0.0.0 where there is none.
    pub fn v4(&self) -> IpAddr {
        let found = self.addresses.iter().copied().find(IpAddr::is_ipv4);
        found.unwrap_or(IpAddr::from([0; 4]))
    }

    /// The first IPv6 address of the plan; :: where there is none.
    pub fn v6(&self) -> IpAddr {
        let found = self.addresses.iter().copied().find(IpAddr::is_ipv6);
        found.unwrap_or(IpAddr::from([0; 16]))
    }

    /// A command that will run inside the host, as the process that is spawned itself: its id and
    /// its signals are those of `program`.
    ///
    /// It dies with the stage, also where it has gone into the background.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder));
        if self.own_mounts {
            command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder));
        }
        command.arg("--").arg(program);
        command
    }

    /// Runs `work` on a thread of its own inside the host. Sockets opened there belong to the
    /// host for as long as they live, on whatever thread; threads started there do too.
    ///
    /// # Errors
    ///
    /// Where the kernel does not let the thread in. A panic of `work` goes on in the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let inside = || -> io::Result<T> {
            move_into_link_name_space(self.space.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        match thread::scope(|scope| scope.spawn(inside).join()) {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Sets a kernel parameter below `/proc/sys/net` inside the host
    /// (`ipv6/conf/all/forwarding`).
    ///
    /// # Errors
    ///
    /// Where there is no such parameter or it refuses the value.
    pub fn set_kernel(&self, parameter: &str, value: &str) -> io::Result<()> {
        self.run(|| std::fs::write(format!("/proc/sys/net/{parameter}"), value))?
    }

    /// The processes inside the host, its holder left out.
    ///
    /// # Errors
    ///
    /// Where `/proc` cannot be read.
    pub fn processes(&self) -> io::Result<Vec<u32>> {
        let own = std::fs::read_link(format!("/proc/{}/ns/net", self.holder))?;
        let mut inside = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A process that has ended meanwhile has no namespace any more.
            let space = std::fs::read_link(format!("/proc/{process}/ns/net"));
            if process != self.holder && space.is_ok_and(|space| space == own) {
                inside.push(process);
            }
        }
        Ok(inside)
    }

    /// Reads the keeper's line `ready NAME PROCESS`; anything else is its complaint.
    fn ready(line: &str, plan: &Plan) -> Result<Host, StageError> {
        let mut words = line.split(' ');
        let (Some("ready"), Some(name), Some(holder)) = (words.next(), words.next(), words.next())
        else {
            return Err(StageError::NotAllowed { detail: line.to_owned() });
        };
        let holder = holder.parse().map_err(io::Error::other)?;
        let planned = plan.hosts.iter().find(|host| host.name == name);
        let attachments = planned.map(|host| host.attachments.as_slice()).unwrap_or_default();
        let addresses = attachments
            .iter()
            .flat_map(|attachment| &attachment.addresses)
            .filter_map(|text| text.split('/').next()?.parse().ok())
            .collect();
        Ok(Host {
            name: name.to_owned(),
            holder,
            space: File::open(format!("/proc/{holder}/ns/net"))?,
            own_mounts: planned.is_some_and(|host| !host.private.is_empty()),
            addresses,
        })
    }

    fn forward(&self) -> io::Result<()> {
        self.set_kernel("ipv4/ip_forward", "1")?;
        self.set_kernel("ipv6/conf/all/forwarding", "1")
    }
}

fn finish(host: &str, child: Child) -> Result<(), StageError> {
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let detail = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(StageError::Wiring { host: host.to_owned(), detail })
}

/// Names the first program that is not installed.
fn check_programs() -> Result<(), StageError> {
    let needed = [
        ("ip", "iproute2"),
        ("unshare", "util-linux"),
        ("nsenter", "util-linux"),
        ("setpriv", "util-linux"),
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    for (program, package) in needed {
        if !std::env::split_paths(&path).any(|directory| directory.join(program).exists()) {
            return Err(StageError::Missing { program, package });
        }
    }
    Ok(())
}
