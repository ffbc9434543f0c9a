//! Hostile, slow and many clients of the daemon's sockets.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use super::*;

/// Says something to the control socket, and returns all it answers.
fn say(scene: &Scene<'_>, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(scene.nightlatch.run().join("control.sock")).unwrap();
    // The daemon may have hung up in the middle of it.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

/// A whole request.
const STATUS: &str = "{\"version\":2,\"request\":\"status\"}";
/// In every status.
const REPORTS: &str = "\"reports\":[";

/// Whether a status says that the kernel's table is what it should be.
fn is_well(status: &str) -> bool {
    let status: serde_json::Value = serde_json::from_str(status).unwrap();
    status["reports"].is_array() && status.get("trouble").is_none()
}

#[test]
fn garbage_is_refused() {
    let Some(stage) = stage() else {
        return;
    };
    let (scene, daemon) = Scene::guarded(&stage);
    let not_a_request = "invalid request";
    let deep = "[".repeat(1_000_000);
    let list = "{\"accounts\":\"list\"}";
    let do_these = |requests: &str| {
        format!("{{\"version\":2,\"request\":{{\"do\":{{\"requests\":[{requests}]}}}}}}")
    };
    let many = do_these(&[list; 65].join(",")) + "\n";
    let name = do_these("{\"accounts\":{\"remove\":{\"name\":\"../x\"}}}") + "\n";
    let feature = do_these("{\"nobody\":\"list\"}") + "\n";
    let long = vec![b'a'; 100 << 20];
    let random: Vec<u8> =
        (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    scene.untouched(|| {
        for (bytes, word) in [
            (&random[..], not_a_request),
            (b"\n", not_a_request),
            (b"\n\n\n", not_a_request),
            (b"GET / HTTP/1.1\r\n\r\n", not_a_request),
            (b"{\"version\":2,\"request\":{\"do\":{\"requests\":[{\"acc", not_a_request),
            (b"{\"version\":2,\"request\":\"explode\"}\n", "unknown variant `explode`"),
            (feature.as_bytes(), "unknown variant `nobody`"),
            (name.as_bytes(), "is not a valid account name"),
            (many.as_bytes(), "too many requests at once: 65"),
            (
                b"{\"version\":1,\"request\":\"status\"}\n",
                "the daemon uses protocol version 2, this command uses 1",
            ),
            (b"{\"version\":1,\"wish\":\"status\"}\n", "same version"),
            (b"{\"version\":-1}\n", not_a_request),
            (b"\xff\xfe\n", not_a_request),
            (deep.as_bytes(), not_a_request),
            (&long, "longer than 64 MiB"),
            (b"", ""),
            // Without a line's end, but whole.
            (do_these(list).as_bytes(), "\"office\""),
            (format!("{}\n{STATUS}\n", do_these(list)).as_bytes(), REPORTS),
        ] {
            let answer = say(&scene, bytes);
            let shown: String = String::from_utf8_lossy(bytes).chars().take(60).collect();
            assert!(answer.contains(word), "{shown}: {answer}");
        }
        // The other socket reads nothing, and says everybody the same.
        let mut stream = UnixStream::connect(scene.nightlatch.run().join("status.sock")).unwrap();
        let _ = stream.write_all(&random);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(is_well(&answer), "{answer}");
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let most: u64 = most.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(most < 200 << 10, "the daemon needed {most} kB");
}

#[test]
fn slow_clients_hold_up_nobody_for_long() {
    let Some(stage) = stage() else {
        return;
    };
    let (scene, _daemon) = Scene::guarded(&stage);
    let connect = || UnixStream::connect(scene.nightlatch.run().join("control.sock")).unwrap();
    // As many as are served at once: most say nothing, one says a letter a second.
    let silent: Vec<UnixStream> = (0..30).map(|_| connect()).collect();
    let mut dripping = connect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for letter in STATUS.as_bytes() {
                if dripping.write_all(&[*letter]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(700));
            }
            panic!("the daemon listened to {} s of dripping", 700 * 30 / 1000);
        });
        let begin = support::now();
        scene.nightlatch.must(&["allow", "in-time", "203.0.113.77"]);
        assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
        // The socket that only tells has room of its own.
        let mut answer = String::new();
        let path = scene.nightlatch.run().join("status.sock");
        UnixStream::connect(path).unwrap().read_to_string(&mut answer).unwrap();
        assert!(is_well(&answer), "{answer}");
    });
    drop(silent);
    scene.is_guarded();
}

#[test]
fn two_hundred_at_once_are_all_answered() {
    let Some(stage) = stage() else {
        return;
    };
    let (scene, _daemon) = Scene::guarded(&stage);
    let refused = std::thread::scope(|scope| {
        let scene = &scene;
        let one = |number: usize| {
            let name = format!("a{}", number / 2);
            let request = format!(
                "{{\"version\":2,\"request\":{{\"do\":{{\"requests\":[{{\"accounts\":{{\"allow\":{{\"name\":\"{name}\",\"entries\":[{{\"range\":\"192.0.2.{}\"}}],\"services\":[\"sip\"],\"lasts\":null}}}}}}]}}}}}}\n",
                number / 2
            );
            scope.spawn(move || say(scene, request.as_bytes()))
        };
        let all: Vec<_> = (0..200).map(one).collect();
        let answers: Vec<String> = all.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(answers.iter().all(|answer| answer.ends_with('\n')), "{answers:?}");
        answers.iter().filter(|answer| answer.contains("\"accounts\":{\"exists\"")).count()
    });
    // Each name was asked for twice: one of the two got it.
    assert_eq!(refused, 100);
    assert_eq!(scene.nightlatch.json(&["list"])["list"]["accounts"].as_array().unwrap().len(), 101);
    assert!(scene.nightlatch.must(&["log", "--verify"]).contains("intact"));
    assert_eq!(scene.nightlatch.json(&["status"])["intact"], true);
    scene.is_guarded();
}
