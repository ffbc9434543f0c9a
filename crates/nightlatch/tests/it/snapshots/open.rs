//! `open`. The firewall that it opens is a stand-in; its effects are tested in `open/`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nightlatch_lab::stage::Plan;

use super::ground::{installation, stage_of};
use super::transcript::Transcript;
use crate::open::ground::{Programs, StandIn, card};

/// The laptop is where the server is in other transcripts, and another host is what it opens.
#[test]
fn open() {
    let plan = Plan::standard().without("office").without("attacker");
    let Some(stage) = stage_of(plan) else { return };
    let nightlatch = installation(&stage);
    let folder = nightlatch.directory();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        private(&path, 0o600);
    };
    let server = stage.host("traveller").unwrap();
    write("web", &card("tcp/443"));
    write("sip", &card("udp/5060"));
    write("vpn", &card("udp/1194"));
    write("named", &format!("{}ALLOW_IP: resolve\n", card("tcp/443")));
    write("page", &format!("<html>{}", card("tcp/443")));
    write("empty", "");
    write(
        "knock",
        "NIGHTLATCH_CARD: 1\nHOST: pbx.example.net\nUSER: anna\nKNOCK: 7001 7005 7003\n",
    );
    let mut to = Transcript::new("open", &nightlatch);
    to.run_with("open -h", |command| {
        for variable in
            ["NIGHTLATCH_CONFIG", "NIGHTLATCH_STATE_DIR", "NIGHTLATCH_RUN_DIR", "NIGHTLATCH_ROOT"]
        {
            command.env_remove(variable);
        }
    });
    to.about("refused");
    to.all(&[
        "open",
        "open pbx.example.net",
        "open \"pbx;reboot\" --card DIR/web",
        "open none.example.net --card DIR/web",
        "open pbx.example.net --card DIR/none",
        "open pbx.example.net --card DIR/empty",
        "open pbx.example.net --card DIR/page",
        "open pbx.example.net --card DIR/knock --json",
        "open pbx.example.net --card DIR/web --keep --close",
        "open pbx.example.net --card DIR/web --address 0.0.0.0",
        "open pbx.example.net --card DIR/web --address 192.0.2.1 --address 192.0.2.2",
    ]);
    let hosts = format!(
        "echo '{} pbx.example.net' >> /etc/hosts; echo '{} pbx.example.net' >> /etc/hosts",
        server.v4(),
        server.v6()
    );
    let laptop = stage.host("server").unwrap();
    crate::open::ground::shell(laptop, &hosts);
    to.about("opened, and closed");
    let stand_in = StandIn::on(server);
    let programs = Programs::on(server, &[5060], &[]);
    to.run("open pbx.example.net --card DIR/web");
    to.run("open pbx.example.net --card DIR/sip");
    to.both("open --card DIR/sip --close");
    to.run("open --card DIR/sip --json");
    to.run("open --card DIR/vpn -4 --json");
    to.run("open --card DIR/web -6 --close");
    to.run("open --card DIR/named -4 --json");
    private(&folder.join("web"), 0o644);
    // The same server by its address, and another one.
    to.run("open 192.0.2.20 --card DIR/web");
    to.run("open 192.0.2.126 --card DIR/web");
    drop((stand_in, programs));
    to.about("nothing answers");
    crate::open::ground::shell(server, "nft delete table inet door");
    let _stand_in = StandIn::that(server, |_, _| false);
    to.both("open pbx.example.net --card DIR/sip");
    to.run("open pbx.example.net --card DIR/sip --close -4");
    to.run("open pbx.example.net --card DIR/web -4 --address 203.0.113.7");
    crate::open::ground::shell(
        laptop,
        "ip -6 route flush default; ip addr add 10.0.0.2/24 dev eth0; ip route replace default via 198.51.100.254 src 10.0.0.2",
    );
    to.both("open pbx.example.net --card DIR/named");
    crate::open::ground::shell(laptop, "ip route flush default");
    to.both("open pbx.example.net --card DIR/web");
    to.finish();
}

fn private(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
