//! Reads what telephone software is there, and asks the PBX for its peers.

use super::super::logic::{contacts, pbx};
use super::super::{RtpRange, Survey};
use super::Reader;
use super::processes::Process;
use crate::shell::pbx::{Subjects, ask};

impl Reader<'_> {
    pub(super) fn telephony(&mut self, survey: &mut Survey, processes: &[Process]) {
        let running: Vec<String> = processes
            .iter()
            .filter(|process| process.near)
            .map(|process| process.program.clone())
            .collect();
        let mut names: Vec<String> = running.clone();
        names.sort_unstable();
        names.dedup();
        survey.pbx = pbx::find_pbx(|file| self.root.exists(file), &names);
        let mut away: Vec<String> = processes
            .iter()
            .filter(|process| !process.near && pbx::is_pbx(Some(&process.program)))
            .map(|process| process.program.clone())
            .collect();
        away.sort_unstable();
        away.dedup();
        survey.pbx.in_containers = away;
        survey.rtp = self.rtp();
        let configured = self.configured_sip();
        survey.sip = pbx::sip_ports(&survey.sockets, &configured);
        survey.pbx_answer = ask(&names, Subjects::ALL);
        survey.contacts = contacts::join(survey.pbx_answer.contacts.clone());
        self.unread.extend(survey.pbx_answer.unread.iter().cloned());
    }

    fn rtp(&mut self) -> Option<RtpRange> {
        let mut asterisk = Vec::new();
        for name in ["rtp.conf", "rtp_additional.conf", "rtp_custom.conf"] {
            let name = format!("/etc/asterisk/{name}");
            asterisk.extend(self.file(&name).map(|text| (name, text)));
        }
        let freeswitch = [
            "/etc/freeswitch/autoload_configs/switch.conf.xml",
            "/usr/local/freeswitch/conf/autoload_configs/switch.conf.xml",
        ];
        let rtpengine = "/etc/rtpengine/rtpengine.conf";
        pbx::asterisk_rtp(&asterisk)
            .or_else(|| {
                freeswitch.iter().find_map(|name| pbx::freeswitch_rtp(name, &self.file(name)?))
            })
            .or_else(|| pbx::rtpengine_rtp(rtpengine, &self.file(rtpengine)?))
    }

    fn configured_sip(&mut self) -> Vec<(u16, bool)> {
        let mut ports = Vec::new();
        for pattern in [
            "/etc/asterisk/pjsip*.conf",
            "/etc/asterisk/sip.conf",
            "/etc/asterisk/sip_general*.conf",
        ] {
            for name in self.root.matching(pattern) {
                ports.extend(pbx::asterisk_sip(&self.file(&name).unwrap_or_default()));
            }
        }
        for name in ["/etc/freeswitch/vars.xml", "/usr/local/freeswitch/conf/vars.xml"] {
            ports.extend(pbx::freeswitch_sip(&self.file(name).unwrap_or_default()));
        }
        ports
    }
}
