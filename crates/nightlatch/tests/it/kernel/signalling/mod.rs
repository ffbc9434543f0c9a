//! Signalling over UDP is judged by this host's own requests, and removed accounts lose access. Each
//! test has a carrier without an account and uses real packets of both families.

mod closing;
mod ends;
mod kept;
mod learned;
mod nat;
mod open;
mod packets;
mod programs;
mod published;
mod removed;
mod routed;
mod tcp;

use nightlatch_lab::stage::{Host, Plan, Stage};

use self::ends::{End, Pbx, REGISTER, everything, forget_flows, keys, learned, permitted};
use super::ground::{both, protect};
use crate::support::{self, Daemon, Installation};

/// The usual hosts: the PBX, a carrier without an account, an office, and a witness with an account.
pub(super) struct Scene<'a> {
    server: &'a Host,
    pbx: Pbx,
    /// At 192.0.2.166 and 2001:db8:66::66, port 5060.
    carrier: End,
    nightlatch: Installation<'a>,
    daemon: Option<Daemon>,
}

/// The stage, if this machine supports it.
fn stage() -> Option<Stage> {
    if !support::installed(&["nft", "conntrack"]) {
        return None;
    }
    support::stage(&Plan::standard())
}

impl<'a> Scene<'a> {
    /// A scene with the firewall up.
    fn guarded(stage: &'a Stage, configuration: &str) -> Scene<'a> {
        let server = stage.host("server").unwrap();
        let pbx = Pbx::on(server, stage.host("traveller").unwrap());
        Scene::with(stage, pbx, configuration)
    }

    /// The same with a PBX elsewhere. Its witness is the traveller.
    fn with(stage: &'a Stage, pbx: Pbx, configuration: &str) -> Scene<'a> {
        let server = stage.host("server").unwrap();
        let carrier = End::on(stage.host("attacker").unwrap(), 5060);
        let (nightlatch, daemon) = protect(server, configuration);
        allow(&nightlatch, "witness", stage.host("traveller").unwrap(), "all");
        Scene { server, pbx, carrier, nightlatch, daemon: Some(daemon) }
    }

    /// Once the PBX has registered at the carrier, the carrier can call, even without a flow, but not
    /// register. `own_port` is the PBX's port as the carrier sees it.
    fn carrier_calls_and_does_not_register(&self, own_port: u16) {
        let Scene { server, pbx, carrier, .. } = self;
        pbx.ignores(carrier, everything());
        pbx.sends(carrier, REGISTER);
        assert_eq!(learned(server, "registered"), keys(carrier, own_port));
        forget_flows(server);
        pbx.hears(carrier, permitted());
        pbx.ignores(carrier, [REGISTER]);
    }
}

/// Allows both addresses of a host.
fn allow(nightlatch: &Installation<'_>, name: &str, host: &Host, services: &str) {
    let [v4, v6] = both(host).map(|address| address.to_string());
    nightlatch.must(&["allow", name, &v4, &v6, "--services", services]);
}
