//! A telephone server that is none: a process by its name, and a console that answers from files.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use super::server::Server;

/// What is asked, and what the console answers: a trunk that is registered, one that is not, two
/// phones, and a call.
const ANSWERS: [(&str, &str); 7] = [
    (
        "pjsip show registrations",
        " <Registration/ServerURI..............................>  <Auth....................>  <Status.......>
==========================================================================================

 itsp/sip:192.0.2.70                                     itsp                        Registered        (exp. 3574s)
",
    ),
    (
        "pjsip show registration itsp",
        " ParameterName            : ParameterValue
 ===================================================
 outbound_proxy           : 
 server_uri               : sip:192.0.2.70
",
    ),
    ("database show registrar/contact", PHONES),
    (
        "pjsip show aors",
        "      Aor:  <Aor..............................................>  <MaxContact>
    Contact:  <Aor/ContactUri............................> <Hash....> <Status> <RTT(ms)..>
==========================================================================================

      Aor:  1001                                                 2
    Contact:  1001/sip:1001@192.0.2.61:5061                01e7b590de NonQual         nan

      Aor:  1002                                                 2
    Contact:  1002/sip:1002@192.0.2.62:5062                8a90942533 NonQual         nan

      Aor:  fixed                                                0
    Contact:  fixed/sip:203.0.113.80:5060                  83d7b684e3 NonQual         nan
",
    ),
    (
        "pjsip show identifies",
        " Identify:  <Identify/Endpoint...........................................................>
      Match:  <criteria...........................>
==========================================================================================

 Identify:  fixed/fixed
      Match: 203.0.113.80/32
      Match: 203.0.113.96/28
",
    ),
    (
        "core show channels concise",
        "PJSIP/1001-00000000!phones!91555!1!Up!Dial!PJSIP/1555@itsp,120!1001!!!3!5!5740d725!17.0
PJSIP/itsp-00000001!from-trunk!!1!Up!AppDial!(Outgoing Line)!91555!!!3!5!5740d725!17.1
",
    ),
    ("core show channels count", "2 active channels\n1 active call\n2 calls processed\n"),
];
const PHONES: &str = "\
/registrar/contact/1001;@01e7b590: {\"path\":\"\",\"endpoint\":\"1001\",\"uri\":\"sip:1001@192.0.2.61:5061\"}
/registrar/contact/1002;@8a909425: {\"path\":\"\",\"endpoint\":\"1002\",\"uri\":\"sip:1002@192.0.2.62:5062\"}
2 results found.
";
/// The console, and the server where it is started without a question.
///
/// A process that ends while somebody reads of it counts as one of the reader's network namespace.
/// So that no other test takes it for a PBX of its own, it does not end under that name.
const PROGRAM: &str = "#!/bin/sh
if [ \"$1\" != -rx ]; then read -r _; echo ended > /proc/self/comm; sleep 0.05; exit 0; fi
echo console > /proc/self/comm
cd \"${0%/*}/../pbx\" || exit 1
if [ -e silent ]; then echo 'Unable to connect to remote asterisk' >&2; exit 1; fi
file=$(echo \"$2\" | tr ' /*' '___')
if [ -e \"$file\" ]; then cat \"$file\"; else echo \"No such command '$2'\"; fi
";

/// It runs until it is dropped.
pub(super) struct FakePbx {
    process: Child,
    answers: PathBuf,
    path: String,
}

impl FakePbx {
    pub(super) fn start(nightlatch: &Server<'_>) -> FakePbx {
        let folder = nightlatch.directory();
        let (answers, programs) = (folder.join("pbx"), folder.join("bin"));
        for made in [&answers, &programs] {
            std::fs::create_dir(made).unwrap();
            std::fs::set_permissions(made, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let program = programs.join("asterisk");
        crate::support::write_program(&program, PROGRAM);
        let process = nightlatch
            .program::<&str>(program.to_str().unwrap(), &[])
            .stdin(Stdio::piped())
            .spawn();
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", programs.display());
        let pbx = FakePbx { process: process.unwrap(), answers, path };
        for (question, answer) in ANSWERS {
            pbx.answer(question, answer);
        }
        pbx.answer("pjsip send register *all", "Re-register all queued\n");
        pbx
    }

    /// The search path on which its console is found.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// What the console answers from now on.
    pub(super) fn answer(&self, question: &str, answer: &str) {
        let file = question.replace([' ', '/', '*'], "_");
        // Whoever reads it at the moment gets the old answer or the new one.
        let mut new = tempfile::NamedTempFile::new_in(&self.answers).unwrap();
        new.write_all(answer.as_bytes()).unwrap();
        new.persist(self.answers.join(file)).unwrap();
    }

    /// All phones have gone.
    pub(super) fn forget_phones(&self) {
        self.answer("database show registrar/contact", "0 results found.\n");
        self.answer("pjsip show aors", "");
    }

    /// The console answers nothing any more.
    pub(super) fn fall_silent(&self) {
        std::fs::write(self.answers.join("silent"), "").unwrap();
    }
}

impl Drop for FakePbx {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
