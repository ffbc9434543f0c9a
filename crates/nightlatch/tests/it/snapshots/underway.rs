//! What is said of lists while they are being fetched.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::ground::stage;
use super::lists::{LIST, TABLE, open};
use super::transcript::Transcript;
use crate::fetch::server::Server;
use crate::support::{ASTERISK, wait_until};

#[test]
fn while_lists_are_fetched() {
    let Some(stage) = stage() else { return };
    let (nightlatch, _daemon) = open(&stage);
    let go_on = Arc::new(AtomicBool::new(false));
    let may_go = Arc::clone(&go_on);
    let web = stage.host("server").unwrap().run(|| {
        Server::start(move |question, stream| {
            while !may_go.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let body = if question.path == "/table" { TABLE } else { LIST };
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        })
    });
    let web = web.unwrap();
    let mut to = Transcript::new("underway", &nightlatch);
    to.call(&web.address.to_string(), "WEB");
    let open = "[open]\nservices = [\"sip\", \"ssh\"]\n";
    let source = web.url("/table");
    nightlatch.configure(&format!("{ASTERISK}{open}[countries]\nsource = [\"{source}\"]\n"));
    nightlatch.must(&["reload"]);
    to.about("under way");
    to.run(&format!("feed add slow {} --no-wait", web.url("/slow")));
    to.all(&["feed list", "feed show slow", "feed remove slow"]);
    to.run(&format!("feed add slow {} --no-wait --json", web.url("/slow")));
    to.all(&["feed refresh slow --no-wait", "country block CN --no-wait", "country list"]);
    to.all(&["country refresh --no-wait", "country block DE --no-wait --json", "status"]);
    to.run("why 192.0.2.200 --to udp/5060");
    to.about("removed while somebody waits");
    let add = ["feed", "add", "other", &web.url("/other")];
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| nightlatch.run_it(&add));
        wait_until("it is added", Duration::from_secs(20), || {
            let feeds = nightlatch.json(&["feed", "list"]);
            feeds.as_array().unwrap().iter().any(|view| view["feed"]["name"] == "other")
        });
        nightlatch.must(&["feed", "remove", "other"]);
        waiting.join().unwrap()
    });
    to.add(&format!("nightlatch {}", add.join(" ")), &waiting);
    nightlatch.must(&["feed", "remove", "slow"]);
    to.about("there");
    go_on.store(true, Ordering::Relaxed);
    wait_until("the table is there", Duration::from_secs(20), || {
        nightlatch.json(&["country", "list"])["reading"] == false
    });
    to.all(&["country list", "status"]);
    to.run(&format!("feed add slow {}", web.url("/slow")));
    to.finish();
}
