//! Output of Kamailio's `kamcmd`: one `name: value` per line, nested by braces.
//!
//! A header that a telephone sends (`User-Agent`, `Path`) may contain line breaks, which `kamcmd`
//! prints unchanged: any line may be forged. So every line that names an address counts; forged lines
//! can only add addresses, which a telephone can do with its `Contact` header anyway, and hide none.

use super::{MAX_ENTRIES, RegistrationState, SipPlace, first_route, shown};

/// A registration at another server, from `uac.reg_dump`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UacRegistration {
    /// `l_uuid`, its name.
    pub name: String,
    /// The server (`r_domain`).
    pub server: SipPlace,
    /// The proxy to which REGISTER is sent instead (`auth_proxy`).
    pub proxy: Option<SipPlace>,
    /// Whether the server accepted.
    pub state: RegistrationState,
}

/// Reads `uac.reg_dump`. The passwords in it are dropped.
pub fn uac_registrations(text: &str) -> Vec<UacRegistration> {
    text.split("l_uuid:").skip(1).filter_map(uac_registration).take(MAX_ENTRIES).collect()
}

fn uac_registration(record: &str) -> Option<UacRegistration> {
    let mut lines = record.lines();
    let name = shown(lines.next()?);
    let (mut server, mut proxy, mut flags) = (None, None, 0_u32);
    for line in lines {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        match key.trim() {
            "r_domain" => server = SipPlace::parse(&format!("sip:{}", value.trim())),
            "auth_proxy" => proxy = SipPlace::parse(value),
            "flags" => flags = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    // The bits of uac_reg.h: UAC_REG_DISABLED 1, UAC_REG_ONLINE 4.
    let state = match flags {
        _ if flags & 1 != 0 => RegistrationState::Disabled,
        _ if flags & 4 != 0 => RegistrationState::Registered,
        _ => RegistrationState::Trying,
    };
    Some(UacRegistration { name, server: server?, proxy, state })
}

/// A place where a telephone can be reached, from `ul.dump`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The table of the registrar, usually `location`.
    pub table: String,
    /// The address of record that registered, unchanged.
    pub aor: String,
    /// The place: from its `Contact` header, from the packet that carried it, or a proxy in front of it.
    pub place: SipPlace,
}

/// Reads `ul.dump`: one entry per place, up to three per contact.
pub fn locations(text: &str) -> Vec<Location> {
    let (mut table, mut aor) = (String::new(), String::new());
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let place = match key.trim() {
            "Domain" if !value.contains('{') => {
                value.trim().clone_into(&mut table);
                continue;
            }
            "AoR" => {
                value.trim().clone_into(&mut aor);
                continue;
            }
            "Address" | "Received" => SipPlace::parse(value),
            "Path" => first_route(value),
            _ => continue,
        };
        if let Some(place) = place.filter(|_| found.len() < MAX_ENTRIES) {
            found.push(Location { table: table.clone(), aor: aor.clone(), place });
        }
    }
    found
}
