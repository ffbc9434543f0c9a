//! Shows attempts as they come, to whoever looks on (`nightlatch watch`).

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nightlatch_core::detect::Sighting;

use crate::features::watch::intake::Onlooker;
use crate::features::watch::seen::Seen;

/// How many look on at once.
const MAX_ONLOOKERS: usize = 8;
/// How many attempts wait for one of them; what comes beyond that is only counted.
const MAX_WAITING: usize = 512;
/// How long a terminal may take to show what it gets.
const TIMEOUT: Duration = Duration::from_secs(10);

/// All who look on.
#[derive(Clone, Default)]
pub(super) struct Live(Arc<Mutex<Vec<Viewer>>>);

struct Viewer {
    to: SyncSender<String>,
    /// How many attempts it has not got.
    missed: u64,
}

impl Live {
    /// Opens the socket.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn begin(path: &Path) -> std::io::Result<Live> {
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let live = Live::default();
        let viewers = live.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => viewers.admit(stream),
                    // Out of file descriptors, mostly.
                    Err(_) => std::thread::sleep(Duration::from_millis(100)),
                }
            }
        });
        Ok(live)
    }

    fn admit(&self, mut stream: UnixStream) {
        let mut viewers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if viewers.len() >= MAX_ONLOOKERS || stream.set_write_timeout(Some(TIMEOUT)).is_err() {
            return;
        }
        let (to, lines) = sync_channel::<String>(MAX_WAITING);
        viewers.push(Viewer { to, missed: 0 });
        drop(viewers);
        std::thread::spawn(move || {
            while let Ok(mut line) = lines.recv() {
                line.push('\n');
                if stream.write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
        });
    }
}

impl Onlooker for Live {
    fn sees(&mut self, sighting: &Sighting<'_>) {
        let mut viewers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        viewers.retain_mut(|viewer| {
            let seen = Seen::of(sighting, viewer.missed);
            let Ok(line) = serde_json::to_string(&seen) else { return true };
            match viewer.to.try_send(line) {
                Ok(()) => viewer.missed = 0,
                Err(TrySendError::Full(_)) => viewer.missed = viewer.missed.saturating_add(1),
                Err(TrySendError::Disconnected(_)) => return false,
            }
            true
        });
    }
}
