//! What `status` says: the part that belongs to no feature, and all of it in its order.

use nightlatch_core::api::Status;
use nightlatch_core::time::Time;

use crate::features::report::Report;
use crate::shell::screen;

/// The firewall off, on, or on trial is line 10, the mode is 40.
const BROKEN: u8 = 20;
const WARNING: u8 = 30;
const REBOOT: u8 = 60;
const COUNTS: u8 = 70;
const ATTACKS: u8 = 74;
const LISTS: u8 = 100;
const TROUBLE: u8 = 110;
const DROPPED: u8 = 120;
const SOON: u8 = 130;
const RESTORED: u8 = 140;

/// All that is said.
pub(super) fn report(status: &Status, now: Time) -> Report {
    let mut report = Report::of(status, now);
    report.warnings.splice(0..0, status.trouble.clone());
    report.counts.sort_unstable();
    report.ending.sort_by(|one, other| (one.until, &one.what).cmp(&(other.until, &other.what)));
    add_fields(&mut report, status);
    add_lines(&mut report, status);
    report.lines.sort_by_key(|(number, _)| *number);
    report
}

fn add_fields(report: &mut Report, status: &Status) {
    let fields = &mut report.fields;
    fields.set(0, "version", &status.version);
    fields.set(30, "intact", &status.trouble.is_none());
    fields.set(40, "warnings", &report.warnings);
    fields.set(50, "survives_reboot", &status.survives_reboot);
    fields.set(90, "listed", &status.listed);
    fields.set(91, "listed_v6", &status.listed_v6);
    fields.set(92, "listed_bytes", &status.listed_bytes);
    fields.set(110, "feed_troubles", &report.troubles);
    fields.set(120, "dropped", &status.dropped);
    fields.set(180, "ending", &report.ending);
    fields.set(190, "restored", &status.restored);
    if let Some(by) = &status.restored_last {
        fields.set(191, "restored_last", by);
    }
}

fn add_lines(report: &mut Report, status: &Status) {
    let mut lines = Vec::new();
    let mut say = |number: u8, line: String| lines.push((number, line));
    if status.trouble.is_some() {
        say(BROKEN, "BROKEN    THE KERNEL'S TABLE IS NOT WHAT IT SHOULD BE".to_owned());
    }
    for warning in &report.warnings {
        say(WARNING, format!("WARNING   {}", screen::printable(warning)));
    }
    if report.stands {
        say(REBOOT, format!("reboot    {}", reboot(status.survives_reboot)));
    }
    let counts = report.counts.iter().enumerate();
    let counts = counts.map(|(at, (_, name, count))| match at {
        0 => format!("{name:<10}{count}"),
        _ => format!(", {name} {count}"),
    });
    say(COUNTS, counts.collect());
    let banned = match report.banned {
        1 => "1 source is banned".to_owned(),
        banned => format!("{banned} sources are banned"),
    };
    say(ATTACKS, format!("attacks   {}; {banned}", report.attack.as_deref().unwrap_or("none now")));
    if report.lists.iter().any(|(count, _)| *count > 0) {
        say(LISTS, format!("lists     {}", lists(report, status)));
    }
    for trouble in &report.troubles {
        say(TROUBLE, format!("TROUBLE   {}", screen::printable(trouble)));
    }
    say(DROPPED, dropped(status));
    for ending in &report.ending {
        say(SOON, format!("soon      {} ends at {}", ending.what, ending.until));
    }
    if let Some(by) = &status.restored_last {
        let (times, by) = (status.restored, screen::printable(by));
        let what =
            format!("restored  {times} times since the daemon started, last changed by {by}");
        say(RESTORED, what);
    }
    report.lines.extend(lines);
}

fn reboot(survives: bool) -> &'static str {
    if survives {
        "survives: an early unit loads the firewall before the network is up"
    } else {
        "DOES NOT SURVIVE A REBOOT: no early unit is enabled (without systemd, start \"nightlatch boot\" before the network)"
    }
}

/// The size of all lists together.
fn lists(report: &Report, status: &Status) -> String {
    let kinds = report.lists.iter().map(|(count, kind)| format!("{count} {kind}"));
    let kinds: Vec<String> = kinds.collect();
    let v4 = status.listed.saturating_sub(status.listed_v6);
    let ranges = if v4 == 1 { "range" } else { "ranges" };
    let memory = match status.listed_bytes {
        0 => String::new(),
        bytes if bytes < 1_000_000 => format!(", about {} kB of kernel memory", bytes / 1000 + 1),
        bytes => format!(", about {} MB of kernel memory", bytes / 1_000_000 + 1),
    };
    let (kinds, v6) = (kinds.join(" and "), status.listed_v6);
    format!("{kinds}: {v4} {ranges} of IPv4, {v6} of IPv6{memory}")
}

fn dropped(status: &Status) -> String {
    let count = |name: &str| status.dropped.get(name).copied().unwrap_or(0);
    format!(
        "dropped   {} packets of strangers, {} of blocked addresses, {} from or to denied addresses, {} of listed ones, {} over the rate limits",
        count("silent"),
        count("blocked"),
        count("denied"),
        count("listed"),
        count("limited")
    )
}
