//! A phone whose name is an attack.

use std::fs;
use std::process::{Child, Stdio};

use super::ground::{KEEP, Server, set_mode, stage};

/// The console of the PBX, and the server where it is started without a question. It does not end under
/// its name, so that no other test takes it for a PBX of its own.
const PBX: &str = r#"
if [ "$1" != -rx ]; then read -r _; echo ended > /proc/self/comm; sleep 0.05; exit 0; fi
echo console > /proc/self/comm
case "$2" in
'database show registrar/contact') cat DIR/contacts ;;
*) echo "No such command '$2'" ;;
esac"#;

/// A running PBX, which ends with its input.
struct Pbx(Child);

impl Drop for Pbx {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn a_phone_with_a_hostile_name() {
    let Some(stage) = stage() else { return };
    let server = Server::with_command(&stage, KEEP);
    let made = server.written("made");
    let made = made.display();
    // Of a name, 64 characters are read, without control characters.
    let hostile = format!("\"}}\r\n$(>{made})`id`\u{1b}[2J<b>'\\\u{202e}");
    let contact = serde_json::json!({
        "path": "", "endpoint": hostile, "uri": "sip:1001@192.0.2.61:5061",
    });
    let contacts = format!("/registrar/contact/1001;@01e7b590: {contact}\n1 results found.\n");
    fs::write(server.written("contacts"), contacts).unwrap();
    set_mode(server.written("contacts"), 0o644);
    let program = server.script("asterisk", PBX);
    let host = stage.host("server").unwrap();
    let pbx = host.command(program.to_str().unwrap()).stdin(Stdio::piped()).spawn();
    let _pbx = Pbx(pbx.unwrap());
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", program.parent().unwrap().display());

    let _daemon = server.nightlatch.daemon_in(&[("PATH", &path)]);
    server.nightlatch.must(&["up", "--yes"]);
    let told = server.is_told("unlisted-registration");
    assert_eq!(told["fields"]["address"], "192.0.2.61");
    // It is one document on one line, and its text is in one field.
    let extension = told["fields"]["extension"].as_str().unwrap();
    assert_eq!(extension, format!("\"}}$(>{made})`id`[2J<b>'\\\\"));
    let whole = fs::read_to_string(server.written("told")).unwrap();
    assert_eq!(whole.lines().count(), server.told().len());
    let shown = [whole, server.status(), server.nightlatch.must(&["log"]), server.nightlatch.log()];
    for text in shown {
        let controls = text.chars().filter(|c| c.is_control() && *c != '\n');
        assert_eq!(controls.count(), 0, "{text:?}");
    }
    assert!(!server.written("made").exists());
}
