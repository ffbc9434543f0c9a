//! Removed phones: from then on, no packet of the phone reaches the PBX, and no packet of the PBX
//! reaches the phone.

use std::net::IpAddr;
use std::time::Duration;

use nightlatch_lab::stage::{Host, HostPlan, Plan};

use super::super::ground::{TIMEOUT, run, shell};
use super::ends::{
    BYE, End, INVITE, OPTIONS, REGISTER, REQUESTS, RESPONSE, everything, forget_flows, is_restored,
    learned, shown,
};
use super::{Scene, allow, stage};
use crate::support::{self, wait_until};

/// A phone that communicates with the PBX: signalling, media, and flows that the server begins.
pub(super) struct Phone {
    pub(super) sip: End,
    media: End,
    /// Of the server.
    media_port: End,
    /// A name server at the phone's address, and the server's own port that asks it.
    names: End,
    asks: End,
}

impl Phone {
    pub(super) fn on(host: &Host, server: &Host) -> Phone {
        Phone::at(host, 5060, server)
    }

    /// The same with another port of signalling.
    pub(super) fn at(host: &Host, port: u16, server: &Host) -> Phone {
        let media_port = End::on(server, 10_002);
        Phone {
            sip: End::on(host, port),
            media: End::on(host, 20_002),
            media_port,
            names: End::on(host, 53),
            asks: End::on(server, 40_053),
        }
    }

    /// The same with a server that is reached at other addresses.
    pub(super) fn of_server_at(mut self, addresses: [IpAddr; 2]) -> Phone {
        self.media_port = self.media_port.reached_at(addresses.map(|at| (at, 10_002).into()));
        self.asks = self.asks.reached_at(addresses.map(|at| (at, 40_053).into()));
        self
    }

    /// The same with the PBX's media on another host.
    pub(super) fn with_media(mut self, media_port: End) -> Phone {
        self.media_port = media_port;
        self
    }

    /// Everything passes.
    pub(super) fn is_in(&self, scene: &Scene<'_>) {
        scene.pbx.hears(&self.sip, [REGISTER, INVITE]);
        scene.pbx.sends(&self.sip, RESPONSE);
        scene.pbx.sends(&self.sip, OPTIONS);
        self.media.reaches(&self.media_port, "media");
        self.media_port.reaches(&self.media, "media");
        self.asks.reaches(&self.names, "question");
        self.names.reaches(&self.asks, "answer");
    }

    /// Nothing passes, whatever the PBX sends, except flows that the server began from other ports.
    pub(super) fn is_gone(&self, scene: &Scene<'_>) {
        let heard = || [self.sip.heard(), self.media.heard(), self.media_port.heard()].concat();
        // Discard packets in transit.
        std::thread::sleep(Duration::from_millis(50));
        heard();
        for _ in 0..2 {
            scene.pbx.ignores(&self.sip, everything());
            self.media.tell(&self.media_port, "media");
            for sent in [OPTIONS, INVITE, RESPONSE, BYE, "NOTIFY sip:a@b SIP/2.0", "\r\n\r\n"] {
                scene.pbx.end.tell(&self.sip, sent);
            }
            self.media_port.tell(&self.media, "media");
            // Later than all of these.
            self.asks.reaches(&self.names, "question");
            self.names.reaches(&self.asks, "answer");
            scene.pbx.heard_until_now();
            assert_eq!(heard(), []);
            // Packets from the PBX do not make it a known peer.
            let phone = self.sip.at().map(|at| format!("{} .", at.ip()));
            wait_until("it is forgotten", TIMEOUT, || {
                let sets = ["registered", "called", "asked"].map(|set| learned(scene.server, set));
                !sets.iter().flatten().any(|it| phone.iter().any(|phone| it.starts_with(phone)))
            });
        }
    }

    /// It is allowed and removed, with and without a running flow, and then blocked.
    pub(super) fn comes_and_goes(&self, scene: &Scene<'_>, host: &Host, services: &str) {
        for flows_run in [true, false] {
            allow(&scene.nightlatch, "phone", host, services);
            self.is_in(scene);
            if !flows_run {
                forget_flows(scene.server);
            }
            scene.nightlatch.must(&["remove", "phone"]);
            self.is_gone(scene);
            forget_flows(scene.server);
            self.is_gone(scene);
        }
    }
}

/// Before, the phone still received the call, and without a flow at that moment it regained access by
/// the PBX's next OPTIONS.
#[test]
fn a_removed_phone_is_gone_whether_or_not_a_flow_runs() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let office = stage.host("office").unwrap();
    let phone = Phone::on(office, scene.server);
    for services in ["sip", "all"] {
        phone.comes_and_goes(&scene, office, services);
    }
    // Allowed again, at once.
    allow(&scene.nightlatch, "phone", office, "sip");
    phone.is_in(&scene);
}

/// Before, it regained access after each of these by the PBX's next packet.
#[test]
fn a_removed_phone_stays_gone_over_a_flush_a_restart_and_a_reboot() {
    let Some(stage) = stage() else { return };
    let mut scene = Scene::guarded(&stage, "");
    let office = stage.host("office").unwrap();
    let phone = Phone::on(office, scene.server);
    allow(&scene.nightlatch, "phone", office, "sip");
    phone.is_in(&scene);
    scene.nightlatch.must(&["remove", "phone"]);
    phone.is_gone(&scene);
    // A flush, while the PBX keeps sending.
    shell(scene.server, "nft flush ruleset; conntrack -F 2> /dev/null");
    scene.pbx.end.tell(&phone.sip, INVITE);
    wait_until("the table is restored", TIMEOUT, || {
        shown(scene.server, "map closed_in6").contains("elements")
    });
    phone.is_gone(&scene);
    // A crash.
    scene.daemon.take().unwrap().kill();
    phone.is_gone(&scene);
    scene.daemon = Some(scene.nightlatch.daemon());
    phone.is_gone(&scene);
    // A reboot: restored by the boot unit, and by the daemon.
    for by_unit in [true, false] {
        scene.daemon.take().unwrap().kill();
        shell(scene.server, "nft delete table inet nightlatch; conntrack -F 2> /dev/null");
        if by_unit {
            scene.nightlatch.must(&["boot"]);
            phone.is_gone(&scene);
        }
        scene.daemon = Some(scene.nightlatch.daemon());
        phone.is_gone(&scene);
    }
    allow(&scene.nightlatch, "phone", office, "sip");
    phone.is_in(&scene);
}

/// Before, everybody was allowed, including the removed phone.
#[test]
fn in_mode_open_a_removed_phone_stays_gone_and_others_come_in() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "[open]\nservices = [\"sip\"]\n");
    let office = stage.host("office").unwrap();
    let phone = Phone::on(office, scene.server);
    allow(&scene.nightlatch, "phone", office, "sip");
    scene.nightlatch.must(&["mode", "open"]);
    phone.is_in(&scene);
    scene.pbx.hears(&scene.carrier, [REGISTER, INVITE]);
    scene.nightlatch.must(&["remove", "phone"]);
    phone.is_gone(&scene);
    forget_flows(scene.server);
    phone.is_gone(&scene);
    scene.pbx.hears(&scene.carrier, [REGISTER, INVITE]);
    scene.nightlatch.must(&["mode", "allowlist"]);
    phone.is_gone(&scene);
    scene.nightlatch.must(&["mode", "open"]);
    phone.is_gone(&scene);
}

/// Before, it regained access like a removed one.
#[test]
fn the_end_of_an_account_is_a_removal() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let office = stage.host("office").unwrap();
    let phone = Phone::on(office, scene.server);
    let [v4, v6] = super::both(office).map(|address| address.to_string());
    for (lasts, name) in [("5s", "guest"), ("6s", "next")] {
        scene.nightlatch.must(&["allow", name, &v4, &v6, "--services", "sip", "--for", lasts]);
        phone.is_in(&scene);
        wait_until("the account ends", Duration::from_secs(20), || {
            !scene.nightlatch.must(&["list"]).contains(name)
        });
        // The list tells what is decided; the kernel follows.
        wait_until("the kernel has it", TIMEOUT, || {
            let closed = |digit| shown(scene.server, &format!("map closed_in{digit}"));
            closed(4).contains(&v4) && closed(6).contains(&v6)
        });
        phone.is_gone(&scene);
    }
}

/// Before, the trunk of such an account was cut by the next flush, without a message.
#[test]
fn a_trunk_continues_without_its_account_and_a_block_ends_it() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let host = stage.host("attacker").unwrap();
    let trunk = Phone::at(host, 5070, scene.server);
    allow(&scene.nightlatch, "carrier", host, "sip");
    scene.pbx.sends(&trunk.sip, REGISTER);
    let said = scene.nightlatch.must(&["remove", "carrier"]);
    for at in trunk.sip.at() {
        let line = format!("{} stays a trunk", at.ip());
        assert!(said.contains(&line), "{said}");
    }
    for flush in ["conntrack -F", "nft flush ruleset; conntrack -F"] {
        shell(scene.server, flush);
        // The known peers come before the chains.
        is_restored(scene.server);
        wait_until("the peers are back", TIMEOUT, || {
            shown(scene.server, "set registered6").contains("expires")
        });
        scene.pbx.hears(&trunk.sip, REQUESTS);
        scene.pbx.sends(&trunk.sip, RESPONSE);
        scene.pbx.ignores(&trunk.sip, [REGISTER]);
        // The call's media.
        trunk.media_port.reaches(&trunk.media, "media");
        trunk.media.reaches(&trunk.media_port, "media");
    }
    for at in trunk.sip.at() {
        scene.nightlatch.must(&["block", &at.ip().to_string()]);
    }
    scene.pbx.ignores(&trunk.sip, REQUESTS);
    trunk.sip.heard();
    trunk.media.heard();
    trunk.media_port.heard();
    for sent in [REGISTER, INVITE, RESPONSE] {
        scene.pbx.end.tell(&trunk.sip, sent);
    }
    trunk.media_port.tell(&trunk.media, "media");
    trunk.media.tell(&trunk.media_port, "media");
    scene.pbx.ignores(&trunk.sip, REQUESTS);
    assert_eq!([trunk.sip.heard(), trunk.media.heard(), trunk.media_port.heard()].concat(), []);
}

/// Before, it regained access like any other. ARP and neighbour discovery keep working.
#[test]
fn on_the_same_link_neighbours_still_find_each_other() {
    if !support::installed(&["nft", "conntrack"]) {
        return;
    }
    let desk = HostPlan::new("desk", "lan-server", &["198.51.100.20/24", "2001:db8:1::20/64"]);
    let Some(stage) = support::stage(&Plan::standard().host(desk)) else { return };
    let scene = Scene::guarded(&stage, "");
    let desk = stage.host("desk").unwrap();
    let phone = Phone::on(desk, scene.server);
    allow(&scene.nightlatch, "phone", desk, "sip");
    phone.is_in(&scene);
    scene.nightlatch.must(&["remove", "phone"]);
    for who in [desk, scene.server] {
        run(who, "ip neigh flush all");
        phone.is_gone(&scene);
    }
}
