//! A web server on a host's loopback that serves what a test puts there.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nightlatch_lab::stage::Host;

/// The server; gone when dropped.
pub(super) struct Web {
    address: SocketAddr,
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Path to content.
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// What was answered: path and status.
    answers: Mutex<Vec<(String, u16)>>,
    ended: AtomicBool,
}

impl Web {
    pub(super) fn on(host: &Host) -> Web {
        let listener = host.run(|| TcpListener::bind("127.0.0.1:0")).unwrap().unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let for_worker = Arc::clone(&shared);
        let worker = std::thread::spawn(move || {
            while !for_worker.ended.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        // A client that hangs up is its own loss.
                        let _ = answer(stream, &for_worker);
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Web { address, shared, worker: Some(worker) }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Serves a file, with an entity tag that tells its content.
    pub(super) fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.shared.files.lock().unwrap().insert(path.to_owned(), content.into());
    }

    /// The status codes of all answers for a path so far.
    pub(super) fn answers(&self, path: &str) -> Vec<u16> {
        let answers = self.shared.answers.lock().unwrap();
        answers.iter().filter(|(asked, _)| asked == path).map(|(_, status)| *status).collect()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let _ = self.worker.take().map(JoinHandle::join);
    }
}

fn answer(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(&stream).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut known = String::new();
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("if-none-match")
        {
            value.trim().clone_into(&mut known);
        }
    }
    let content = shared.files.lock().unwrap().get(&path).cloned();
    let tag = content.as_ref().map(|content| format!("\"{:016x}\"", fnv(content)));
    let (status, head) = match (&content, &tag) {
        (None, _) | (_, None) => (404, String::new()),
        (Some(_), Some(tag)) if *tag == known => (304, format!("ETag: {tag}\r\n")),
        (Some(content), Some(tag)) => {
            (200, format!("ETag: {tag}\r\nContent-Length: {}\r\n", content.len()))
        }
    };
    shared.answers.lock().unwrap().push((path, status));
    let mut stream = &stream;
    write!(stream, "HTTP/1.1 {status} It is\r\n{head}Connection: close\r\n\r\n")?;
    if status == 200 {
        stream.write_all(&content.unwrap_or_default())?;
    }
    stream.shutdown(std::net::Shutdown::Write)
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
