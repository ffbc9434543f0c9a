//! Runs other programs, e.g. `ip` and `asterisk`, with limits on time and output.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// Where administration programs are, besides `PATH`: an ordinary user's `PATH` has no sbin.
const MORE_PLACES: &str = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin";

/// Finds a program, in `PATH` first. A file that others may write or replace is skipped, since this
/// process runs as root. `None` if it is not installed.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(MORE_PLACES.split(':'))
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| Path::new(folder).join(name))
        .find(|file| file.is_file() && is_trusted(file))
}

/// Whether only root and the current user can change a file and its folder.
fn is_trusted(file: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let is_safe = |path: &Path| {
        std::fs::metadata(path)
            .is_ok_and(|meta| meta.mode() & 0o002 == 0 && (meta.uid() == 0 || meta.uid() == own))
    };
    is_safe(file) && file.parent().is_some_and(is_safe)
}

/// Runs a program and gives its output.
///
/// # Errors
///
/// A sentence: it is not installed, did not start, took longer than `time_limit`, wrote more than
/// `most` bytes, or ended with an error (then with the first line it wrote about it).
pub fn run(name: &str, args: &[&str], most: usize, time_limit: Duration) -> Result<String, String> {
    let program = find(name).ok_or_else(|| format!("{name} is not installed"))?;
    let mut child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start {name}: {error}"))?;
    let (Some(output), Some(complaint)) = (child.stdout.take(), child.stderr.take()) else {
        end(&mut child);
        return Err(format!("cannot start {name}: no pipes"));
    };
    let output = read_in_background(output, most);
    let complaint = read_in_background(complaint, 4096);
    let Ok(bytes) = output.recv_timeout(time_limit) else {
        end(&mut child);
        return Err(format!("{name} did not answer within {} seconds", time_limit.as_secs()));
    };
    let ended_well = wait(&mut child);
    if bytes.len() > most {
        return Err(format!("{name} wrote more than {most} bytes"));
    }
    if !ended_well {
        let said = complaint.recv_timeout(Duration::from_millis(200)).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let first = said.lines().next().unwrap_or("ended with an error");
        return Err(format!("{name}: {}", first.chars().take(200).collect::<String>()));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads at most one byte more than `most`, so that too much is told from just enough.
fn read_in_background(from: impl Read + Send + 'static, most: usize) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        // A pipe that breaks ends the text; what came before it counts.
        let _ = from.take(limit).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// Waits for a child that closed its output: it has a second to go, then it is ended.
fn wait(child: &mut Child) -> bool {
    for _ in 0..100 {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => break,
        }
    }
    end(child);
    false
}

/// Ends a child with all that it started: they are a process group of their own, whose number
/// stays the child's as long as it was not waited for.
fn end(child: &mut Child) {
    // They may have gone by themselves meanwhile: then there is nothing to end.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn shell(script: &str, most: usize, milliseconds: u64) -> Result<String, String> {
        run("sh", &["-c", script], most, Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_program_is_bounded() {
        assert_eq!(shell("echo yes; cat", 100, 5000).unwrap(), "yes\n");
        assert_eq!(shell("echo $LC_ALL", 100, 5000).unwrap(), "C\n");
        for (script, most, milliseconds, complaint) in [
            ("echo bad luck >&2; exit 3", 100, 5000, "sh: bad luck"),
            ("exit 3", 100, 5000, "sh: ended with an error"),
            ("sleep 60 & sleep 60", 100, 100, "sh did not answer within"),
            ("yes", 100_000, 5000, "sh wrote more than 100000 bytes"),
            ("exec >&-; sleep 60", 100, 5000, "sh: ended with an error"),
            ("yes >&2", 100, 200, "sh: y"),
        ] {
            let said = shell(script, most, milliseconds).unwrap_err();
            assert!(said.starts_with(complaint), "{script}: {said}");
        }
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, "").unwrap();
        for (mode, trusted) in [(0o755, true), (0o757, false), (0o700, true)] {
            std::fs::set_permissions(&program, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(is_trusted(&program), trusted, "{mode:o}");
        }
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert!(!is_trusted(&program));
        let missing = run("no-such-program-here", &[], 1, Duration::from_secs(1));
        assert_eq!(missing.unwrap_err(), "no-such-program-here is not installed");
    }
}
