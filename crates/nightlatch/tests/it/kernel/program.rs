//! Programs of others that run on a host until the test ends.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A program that ends with the test.
pub(super) struct Program(pub(super) Child);

impl Program {
    pub(super) fn start(command: Command, log: &Path) -> Program {
        Program::start_with(command, log, Stdio::null())
    }

    pub(super) fn start_with(mut command: Command, log: &Path, input: Stdio) -> Program {
        let log = std::fs::File::create(log).unwrap();
        command.stdin(input).stdout(log.try_clone().unwrap()).stderr(log);
        Program(command.spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // On this signal, Kamailio ends its children.
        let process = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        let ended = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            self.0.try_wait().is_ok_and(|status| status.is_some())
        });
        if !ended {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
