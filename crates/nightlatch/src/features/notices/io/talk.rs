//! Gives a command its input and reads what it says, all within a time.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::shell::clock::Stopwatch;

/// How many bytes of each output are kept.
pub(super) const MAX_KEPT: usize = 4096;
/// How many bytes of each output are read. Then it is closed, which ends most programs.
pub(super) const MAX_READ: usize = 1 << 20;

/// What a command has said.
#[derive(Debug, Default)]
pub(super) struct Talk {
    pub(super) stdout: Output,
    pub(super) stderr: Output,
    /// Whether the command has ended by itself.
    pub(super) has_ended: bool,
}

/// One of the two outputs.
#[derive(Debug, Default)]
pub(super) struct Output {
    pipe: Option<OwnedFd>,
    /// Its beginning.
    pub(super) bytes: Vec<u8>,
    read: usize,
    /// Whether there was too much.
    pub(super) is_over: bool,
}

/// What is still to be written.
struct Input<'a> {
    pipe: Option<OwnedFd>,
    bytes: &'a [u8],
}

/// Talks with a child until it has ended or `time_limit` is over. What the child has started may keep
/// its outputs open: nobody waits for that.
pub(super) fn with(child: &mut Child, input: &[u8], time_limit: Duration) -> io::Result<Talk> {
    let watch = Stopwatch::start();
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut input = Input { pipe: child.stdin.take().map(OwnedFd::from), bytes: input };
    let mut talk = Talk {
        stdout: Output { pipe: child.stdout.take().map(OwnedFd::from), ..Output::default() },
        stderr: Output { pipe: child.stderr.take().map(OwnedFd::from), ..Output::default() },
        has_ended: false,
    };
    for pipe in [&input.pipe, &talk.stdout.pipe, &talk.stderr.pipe].into_iter().flatten() {
        ioctl_fionbio(pipe, true)?;
    }
    loop {
        let left = time_limit.saturating_sub(watch.elapsed());
        if left.is_zero() {
            break;
        }
        if wait(&process, &input, &talk, left)? {
            talk.has_ended = true;
            break;
        }
        input.write()?;
        talk.stdout.read_once()?;
        talk.stderr.read_once()?;
    }
    // What it wrote at last may still be in the pipes. A pipe holds at most as much as is read here.
    for output in [&mut talk.stdout, &mut talk.stderr] {
        while output.read_once()? {}
    }
    Ok(talk)
}

/// Waits until something can be done. Tells whether the process has ended.
fn wait(process: &OwnedFd, input: &Input<'_>, talk: &Talk, left: Duration) -> io::Result<bool> {
    let mut waiting = vec![PollFd::new(process, PollFlags::IN)];
    waiting.extend(input.pipe.iter().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
    let outputs = [&talk.stdout.pipe, &talk.stderr.pipe].into_iter().flatten();
    waiting.extend(outputs.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(&mut waiting, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(waiting.first().is_some_and(|process| !process.revents().is_empty()))
}

impl Input<'_> {
    /// Writes what the pipe takes, and closes it at the end. A reader that has gone away is no error.
    fn write(&mut self) -> io::Result<()> {
        let Some(pipe) = &self.pipe else {
            return Ok(());
        };
        match rustix::io::write(pipe.as_fd(), self.bytes) {
            Ok(written) => self.bytes = self.bytes.get(written..).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(Errno::PIPE) => self.bytes = &[],
            Err(error) => return Err(error.into()),
        }
        if self.bytes.is_empty() {
            self.pipe = None;
        }
        Ok(())
    }
}

impl Output {
    /// Reads once what is there, without waiting. Tells whether there may be more.
    fn read_once(&mut self) -> io::Result<bool> {
        let Some(pipe) = &self.pipe else {
            return Ok(false);
        };
        let mut buffer = [0u8; 16_384];
        let read = match rustix::io::read(pipe.as_fd(), &mut buffer) {
            Ok(0) => {
                self.pipe = None;
                return Ok(false);
            }
            Ok(read) => read,
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let room = MAX_KEPT.saturating_sub(self.bytes.len()).min(read);
        self.bytes.extend_from_slice(buffer.get(..room).unwrap_or_default());
        self.read = self.read.saturating_add(read);
        if self.read > MAX_READ {
            self.is_over = true;
            self.pipe = None;
        }
        Ok(self.pipe.is_some())
    }
}
