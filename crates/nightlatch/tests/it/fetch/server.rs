//! An HTTP server on the loopback that does as a test says, also what no good server does.

use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a client asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The path with the query.
    pub(crate) path: String,
    /// The headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Question {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str())
    }
}

/// A server that runs until the test's process ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    questions: Arc<Mutex<Vec<Question>>>,
}

impl Server {
    /// A server that answers each question with what `answer` writes; then it hangs up.
    pub(crate) fn start<F>(answer: F) -> Server
    where
        F: Fn(&Question, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let questions: Arc<Mutex<Vec<Question>>> = Arc::default();
        let (answer, asked) = (Arc::new(answer), Arc::clone(&questions));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
                thread::spawn(move || {
                    let mut stream = stream;
                    if let Some(question) = read_question(&stream) {
                        asked.lock().unwrap().push(question.clone());
                        // The client may hang up at any time: that is often what is tested.
                        let _ = answer(&question, &mut stream);
                        hang_up(&stream);
                    }
                });
            }
        });
        Server { address, questions }
    }

    /// A server that sends these bytes, head and body, to everyone.
    pub(crate) fn sending(bytes: impl Into<Vec<u8>>) -> Server {
        let bytes = bytes.into();
        Server::start(move |_, stream| stream.write_all(&bytes))
    }

    /// A server that sends this body with these header lines, each with its line end.
    pub(crate) fn with_body(headers: &str, body: impl AsRef<[u8]>) -> Server {
        let body = body.as_ref();
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n");
        Server::sending([head.as_bytes(), body].concat())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn questions(&self) -> Vec<Question> {
        self.questions.lock().unwrap().clone()
    }
}

fn read_question(stream: &TcpStream) -> Option<Question> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(Question { path, headers })
}

/// Ends the sending side and waits for the client's end, so that nothing sent is lost.
fn hang_up(mut stream: &TcpStream) {
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read(&mut [0; 64]);
}
