//! Hours of access, as commands take them.

use std::fs;

use nightlatch_core::hours::{Hours, Within};

use super::outcome::{Code, Failure};

/// The hours during which something counts.
#[derive(clap::Args, Debug)]
pub struct HoursArgs {
    /// The hours during which it counts, e.g. "Mon-Fri 07:00-19:00, Sat 09:00-13:00", or always. A call
    /// that is running at their end continues
    #[arg(long, value_name = "HOURS")]
    hours: Option<String>,
    /// The time zone of the hours, e.g. Europe/Berlin; default: that of this server
    #[arg(long, value_name = "ZONE", requires = "hours")]
    zone: Option<String>,
}

impl HoursArgs {
    /// What was asked for; nothing if hours were not mentioned.
    ///
    /// # Errors
    /// Hours or a time zone that cannot be read.
    pub fn within(&self) -> Result<Option<Within>, Failure> {
        let Some(hours) = &self.hours else { return Ok(None) };
        if hours.trim() == "always" {
            return Ok(Some(Within::Always));
        }
        let zone = self.zone.clone().unwrap_or_else(zone_of_this_server);
        let hours = Hours::parse(hours, &zone).map_err(|error| Failure::new(Code::Usage, error))?;
        Ok(Some(Within::Hours(hours)))
    }
}

/// The time zone of stamps in logs: the name of the server's zone, and the content of its file, for where
/// the name is not known.
pub(crate) fn zone_of_logs() -> (String, Vec<u8>) {
    let path = fs::read_link("/etc/localtime").unwrap_or_default();
    let text = path.to_string_lossy().into_owned();
    let name = text.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned());
    (name.unwrap_or_default(), fs::read("/etc/localtime").unwrap_or_default())
}

/// The time zone that `/etc/localtime` leads to; UTC where it leads to none with a name.
fn zone_of_this_server() -> String {
    let path = fs::read_link("/etc/localtime").unwrap_or_default();
    let text = path.to_string_lossy().into_owned();
    let zone = text.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned());
    let known = |zone: &String| Hours::parse("00:00-24:00", zone).is_ok();
    zone.filter(known).unwrap_or_else(|| "UTC".to_owned())
}
