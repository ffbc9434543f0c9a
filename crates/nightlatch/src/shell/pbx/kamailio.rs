//! Queries to Kamailio's console.

use nightlatch_parse::pbx::kamailio::{locations, uac_registrations};
use nightlatch_parse::pbx::{SipPlace, shown};

use super::{
    Contact, Driver, NamedContact, PbxAnswer, Registration, Removal, Server, Subjects, Unread,
    protocol, usual_port,
};

/// Runs one console command; the error is a message.
pub(super) type Run<'a> = dyn FnMut(&[&str]) -> Result<String, String> + 'a;

/// Queries the console and adds its answers. After the first query without an answer, no other is
/// sent.
pub(super) fn ask(subjects: Subjects, run: &mut Run<'_>, answer: &mut PbxAnswer) {
    let mut is_silent = false;
    let mut question = |command: &str, answer: &mut PbxAnswer| match run(&[command]) {
        _ if is_silent => String::new(),
        // A module that is not loaded: `error: 500 - command uac.reg_dump not found`.
        Ok(text) if text.starts_with("error:") => String::new(),
        Ok(text) => text,
        Err(reason) => {
            is_silent = true;
            answer.unread.push(Unread::new(format!("kamcmd {command}"), reason));
            String::new()
        }
    };
    if subjects.registrations {
        let text = question("uac.reg_dump", answer);
        answer.registrations.extend(uac_registrations(&text).into_iter().map(|found| {
            let registrar = found.proxy.is_some().then(|| found.server.host.clone());
            Registration {
                name: found.name,
                server: server(found.proxy.unwrap_or(found.server)),
                registrar,
                driver: Driver::Kamailio,
                state: found.state,
            }
        }));
    }
    if subjects.contacts {
        let text = question("ul.dump", answer);
        for found in locations(&text) {
            let name = shown(&found.aor);
            let removal = Removal::Location { table: found.table, aor: found.aor };
            match found.place.address() {
                Some(address) => answer.contacts.push(Contact {
                    name,
                    protocol: protocol(found.place.transport),
                    address,
                    port: found.place.port.unwrap_or(usual_port(found.place.transport)),
                    registered: true,
                    driver: Driver::Kamailio,
                    removal: Some(removal),
                }),
                None => answer.named.push(NamedContact {
                    name,
                    server: server(found.place),
                    registered: true,
                    driver: Driver::Kamailio,
                }),
            }
        }
    }
}

fn server(place: SipPlace) -> Server {
    Server { host: place.host, port: place.port, transport: place.transport }
}
