//! Runs the command that gets notices.

mod command_file;
mod error;
mod talk;
#[cfg(test)]
mod tests;
mod user;

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use nightlatch_core::features::notices::{Delivery, Event, Job, Notices, Settings};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, umask};
use rustix::thread::{UnshareFlags, set_no_new_privs};

use error::{DeliveryError, Said};
use user::User;

use crate::features::worded::Works;
use crate::shell::background::Background;
use crate::shell::clock;

/// How long the command may run.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long a killed command may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);
/// The whole environment of the command: nothing of the daemon's.
const ENVIRONMENT: [(&str, &str); 2] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("LC_ALL", "C.UTF-8"),
];

impl Works for Notices {
    fn run(job: Job, background: &Background) {
        let Job::Deliver { delivery, settings } = job;
        background.in_thread(move || {
            let result = tell(&delivery, &settings).map_err(|error| error.to_string());
            Event::Delivered { id: delivery.id, result }
        });
    }
}

/// Gives a notice to the command as the user that the configuration names. The user is looked up each
/// time, because it may be another now.
fn tell(delivery: &Delivery, settings: &Settings) -> Result<(), DeliveryError> {
    let user = User::find(&settings.user)?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    deliver(&settings.command, &user, &delivery.body(host.trim_end(), clock::now()))
}

/// Gives one notice to a command of the configuration, and waits until it has ended, ten seconds at
/// most.
///
/// `command` is an absolute path and its arguments; there is no shell. It runs as `user`, in the root
/// folder, in a process group of its own, without the daemon's environment, supplementary groups and
/// capabilities; neither it nor what it starts can gain privileges (`no_new_privs`), so programs that
/// are set-user-ID or set-group-ID do not work, e.g. `sendmail`. It reads `json` and a line feed from
/// standard input; a command that does not read all of it is no error. When it ends, or after ten
/// seconds, all processes of its group are killed.
///
/// # Errors
/// It was not run, or did not exit with 0 in time: see [`DeliveryError`].
fn deliver(command: &[String], user: &User, json: &str) -> Result<(), DeliveryError> {
    deliver_within(TIME_LIMIT, command, user, json)
}

fn deliver_within(
    time_limit: Duration,
    command: &[String],
    user: &User,
    json: &str,
) -> Result<(), DeliveryError> {
    let (program, arguments) = command.split_first().ok_or(DeliveryError::NoCommand)?;
    command_file::check(Path::new(program))?;
    let mut command = Command::new(program);
    command.args(arguments);
    switch_user(&mut command, user)?;
    let input = format!("{json}\n");
    // A thread of its own, because it loses for ever what the command must not have.
    thread::scope(|scope| {
        let run = || restrict_thread().and_then(|()| run(command, input.as_bytes(), time_limit));
        let thread = thread::Builder::new().name("notice".to_owned()).spawn_scoped(scope, run);
        let ended = thread.map_err(DeliveryError::System)?.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the thread has failed").into()))
    })
}

fn switch_user(command: &mut Command, user: &User) -> Result<(), DeliveryError> {
    let own = rustix::process::geteuid();
    if user.uid == 0 {
        return Err(DeliveryError::Root);
    }
    if own.is_root() {
        // With another user, the standard library drops all supplementary groups. The kernel drops
        // all capabilities with root's number.
        command.gid(user.gid).uid(user.uid);
    } else if own.as_raw() != user.uid {
        return Err(DeliveryError::CannotSwitch { user: user.name.clone() });
    }
    Ok(())
}

/// Restricts this thread, and so the processes that it starts.
fn restrict_thread() -> Result<(), DeliveryError> {
    set_no_new_privs(true).map_err(io::Error::from)?;
    // It is deprecated for what it does to file descriptors, which are left alone here.
    #[expect(deprecated, reason = "the flag FS separates nothing but the umask and the folders")]
    rustix::thread::unshare(UnshareFlags::FS).map_err(io::Error::from)?;
    umask(Mode::RWXG | Mode::RWXO);
    nightlatch_netfilter::close_on_exec()?;
    Ok(())
}

fn run(mut command: Command, input: &[u8], time_limit: Duration) -> Result<(), DeliveryError> {
    let mut child = command
        .env_clear()
        .envs(ENVIRONMENT)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| DeliveryError::of_start(error, command.get_program()))?;
    spare_the_daemon(&child);
    let talk = talk::with(&mut child, input, time_limit);
    let ended = end(child);
    let talk = talk?;
    let status = ended?;
    talk.judge(status, time_limit)
}

/// Makes the kernel, out of memory, kill the command rather than the daemon, whose precedence it has
/// inherited. It is only a precaution, and the command may have ended already.
fn spare_the_daemon(child: &Child) {
    let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), "500");
}

/// Kills the whole process group of a child and collects it, so that it does not remain as a zombie.
///
/// The child may have ended before, but it was not collected. So its number is still its own, and no
/// other process can be hit.
fn end(mut child: Child) -> Result<ExitStatus, DeliveryError> {
    let killed = kill_process_group(Pid::from_child(&child), Signal::KILL);
    if has_ended(&child, KILL_TIMEOUT).is_ok_and(|ended| ended) {
        return Ok(child.wait()?);
    }
    // It is not killed without the right to do so, and not while it waits for a dead network disk.
    let name = "collect".to_owned();
    thread::Builder::new().name(name).spawn(move || child.wait())?;
    Err(DeliveryError::NotEnded { why: killed.err().map(io::Error::from) })
}

/// Waits until a child has ended, without collecting it.
fn has_ended(child: &Child, time_limit: Duration) -> Result<bool, DeliveryError> {
    let process =
        pidfd_open(Pid::from_child(child), PidfdFlags::empty()).map_err(io::Error::from)?;
    let timeout = Timespec::try_from(time_limit).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(io::Error::from(error).into()),
    }
}

impl talk::Talk {
    /// What became of it.
    fn judge(self, status: ExitStatus, time_limit: Duration) -> Result<(), DeliveryError> {
        let said = Said::of(&self.stderr.bytes, &self.stdout.bytes);
        let wrote_too_much = self.stderr.is_over || self.stdout.is_over;
        if !self.has_ended {
            return Err(DeliveryError::TimedOut { seconds: time_limit.as_secs(), said });
        }
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(()),
            (Some(code), _) => Err(DeliveryError::ExitCode { code, said }),
            (None, Some(_)) if wrote_too_much => Err(DeliveryError::WroteTooMuch { said }),
            (None, signal) => {
                Err(DeliveryError::Killed { signal: signal.unwrap_or_default(), said })
            }
        }
    }
}
