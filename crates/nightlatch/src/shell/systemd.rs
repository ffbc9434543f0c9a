//! systemd, where it runs: readiness, the watchdog, the units. Everything works without it too.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The early unit that puts the last good firewall up.
pub const BOOT_UNIT: &str = "nightlatch-boot.service";
/// The daemon's unit.
pub const DAEMON_UNIT: &str = "nightlatch.service";

/// Tells systemd something (`READY=1`, `WATCHDOG=1`), where it listens. The protocol is that of
/// `sd_notify(3)`: one datagram to the socket named in the environment.
pub fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(Path::new(&name)),
    };
    let socket = UnixDatagram::unbound();
    if let (Ok(address), Ok(socket)) = (address, socket) {
        // There is nobody to report a failure to; the watchdog of systemd will notice it.
        let _ = socket.send_to_addr(state.as_bytes(), &address);
    }
}

/// Does something that may take long, such as loading very long lists on a busy machine, and tells
/// systemd meanwhile that we live; for ten minutes at most.
pub fn patiently<T>(work: impl FnOnce() -> T) -> T {
    const INTERVAL: Duration = Duration::from_secs(5);
    const TIMES: usize = 120;
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return work();
    }
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..TIMES {
                match waiting.recv_timeout(INTERVAL) {
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                        notify("WATCHDOG=1\nEXTEND_TIMEOUT_USEC=30000000");
                    }
                    _ => return,
                }
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// How often systemd wants to hear of us: half of what it waits for.
pub fn watchdog_interval() -> Option<Duration> {
    let micros: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    Some(Duration::from_micros(micros / 2).max(Duration::from_millis(100)))
}

/// Whether systemd is the init of this machine.
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Whether the units are installed.
pub fn has_units() -> bool {
    [
        "/etc/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ]
    .iter()
    .any(|folder| Path::new(folder).join(BOOT_UNIT).exists())
}

/// Whether the early unit is enabled, so that the firewall stands after a reboot.
pub fn boots_with_us() -> bool {
    [
        "sysinit.target.wants",
        "network-pre.target.wants",
        "multi-user.target.wants",
        "network.target.wants",
        "basic.target.wants",
    ]
    .iter()
    .any(|folder| {
        Path::new("/etc/systemd/system").join(folder).join(BOOT_UNIT).symlink_metadata().is_ok()
    })
}

/// Runs `systemctl` with arguments.
///
/// # Errors
/// What it said on standard error.
pub fn systemctl(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("systemctl")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run systemctl: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("systemctl {}: {}", arguments.join(" "), said.trim()))
}
