//! A manager interface that does as a test says, on the loopback interface of a host.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nightlatch_lab::stage::Host;
use nightlatch_parse::log::asterisk::ami;

/// Its port.
pub(super) const PORT: u16 = 5038;
/// The first line of Asterisk 20.
pub(super) const GREETING: &[u8] = b"Asterisk Call Manager/9.0.0\r\n";
const CHALLENGE: &str = "104711";

/// What it does with a connection; the number counts connections.
type Behaviour = dyn Fn(usize, &mut TcpStream) + Send + Sync;

/// Such a manager interface, ended when dropped, with its connections.
pub(super) struct Server {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// How many connections there were.
    count: Arc<AtomicUsize>,
}

impl Server {
    pub(super) fn on(
        host: &Host,
        behaviour: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static,
    ) -> Server {
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let listener = host.run(|| TcpListener::bind(place)).unwrap().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (ended, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (over, counted) = (Arc::clone(&ended), Arc::clone(&count));
        let thread = std::thread::spawn(move || {
            let mut open = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                open.push(stream.try_clone().unwrap());
                let number = counted.fetch_add(1, Ordering::Relaxed);
                let behaviour = Arc::clone(&behaviour);
                std::thread::spawn(move || {
                    behaviour(number, &mut stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
            open.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        });
        Server { ended, thread: Some(thread), count }
    }

    pub(super) fn connections(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// Greets, and takes the login in if it is with this secret. Tells whether it was.
pub(super) fn log_in(stream: &mut TcpStream, user: &str, secret: &str) -> bool {
    let _ = stream.write_all(GREETING);
    if action(stream) != ami::CHALLENGE {
        return false;
    }
    let _ = write!(stream, "Response: Success\r\nChallenge: {CHALLENGE}\r\n\r\n");
    let sent = action(stream);
    let is_right = sent == ami::login(user, secret, CHALLENGE.as_bytes()).unwrap();
    let answer = match is_right {
        true => "Response: Success\r\nMessage: Authentication accepted\r\n\r\n",
        false => "Response: Error\r\nMessage: Authentication failed\r\n\r\n",
    };
    let _ = stream.write_all(answer.as_bytes());
    if is_right {
        let peer = stream.peer_addr().unwrap();
        let _ = stream.write_all(own_login(user, peer).as_bytes());
    }
    is_right
}

/// An action, up to its empty line.
fn action(stream: &mut TcpStream) -> Vec<u8> {
    let mut sent = Vec::new();
    let mut byte = [0];
    while !sent.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        sent.push(byte[0]);
    }
    sent
}

/// Waits until the other side has ended the connection; what it sent until then.
pub(super) fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut sent = Vec::new();
    loop {
        let mut block = [0; 4096];
        match stream.read(&mut block) {
            Ok(0) | Err(_) => return sent,
            Ok(read) => sent.extend_from_slice(&block[..read]),
        }
    }
}

/// What Asterisk reports of a login at the manager interface.
fn own_login(user: &str, peer: SocketAddr) -> String {
    format!(
        "Event: SuccessfulAuth\r\nPrivilege: security,all\r\nEventTV: 2026-11-20T08:36:29.727+0000\r\n\
         Severity: Informational\r\nService: AMI\r\nEventVersion: 1\r\nAccountID: {user}\r\n\
         SessionID: 0x7f3580001720\r\nLocalAddress: IPV4/TCP/0.0.0.0/5038\r\n\
         RemoteAddress: IPV4/TCP/{}/{}\r\nUsingPassword: 0\r\n\
         SessionTV: 2026-11-20T08:36:29.727+0000\r\n\r\n",
        peer.ip(),
        peer.port(),
    )
}

/// A wrong password, as [`crate::watch::failed`] writes it into a file.
pub(super) fn failed(source: &str, account: &str, session: &str) -> String {
    format!(
        "Event: ChallengeResponseFailed\r\nPrivilege: security,all\r\n\
         EventTV: 2026-11-20T08:36:32.582+0000\r\nSeverity: Error\r\nService: PJSIP\r\n\
         EventVersion: 1\r\nAccountID: {account}\r\nSessionID: {session}\r\n\
         LocalAddress: IPV4/UDP/192.0.2.1/5060\r\nRemoteAddress: IPV4/UDP/{source}/5071\r\n\
         Challenge: 1/a\r\nResponse: b\r\nExpectedResponse: \r\n\r\n"
    )
}

/// Writes everything, however slowly it is read; the other side may end the connection meanwhile.
pub(super) fn send(stream: &mut TcpStream, text: &[u8]) {
    let _ = stream.write_all(text);
}
