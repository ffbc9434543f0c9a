//! Which logs are read: those of the configuration, and those that are found.

use std::path::Path;

use nightlatch_core::attack::Service;
use nightlatch_core::features::watch::{
    Config, Notice, Place, ReadBy, Unreadable, Watched, native,
};
use nightlatch_core::service::ServiceName;
use nightlatch_parse::fail2ban::{Filter, Reference, Source as FilterSource};
use nightlatch_parse::log::Format;

use super::journal::JournalSource;
use super::login;
use super::managers::Spec;
use super::source::FileSource;
use super::system;
use crate::features::watch::find::Found;
use crate::features::watch::intake::{ByFilter, How, LineReader};
use crate::features::watch::record::{Described, Whose};
use crate::shell::paths::Paths;

/// The most bytes of a file of filters.
const MAX_FILTER: u64 = 1 << 20;

/// All of them.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) files: Vec<FileSource>,
    pub(super) journal: Vec<JournalSource>,
    /// Manager interfaces of Asterisk.
    pub(super) managers: Vec<Spec>,
    /// Logs whose lines the journal has too, and by what they are read there.
    pub(super) superseded: Vec<(String, String)>,
    /// What the administrator must hear.
    pub(super) notices: Vec<Notice>,
}

/// All logs that are read.
pub(super) fn all(paths: &Paths, config: &Config) -> Gathered {
    let mut gathered = Gathered::default();
    for watched in &config.watched {
        gathered.configured(watched);
    }
    let has_journal = system::has_journal(paths);
    if has_journal {
        gathered.of_journal(paths);
    }
    let read = system::logs(paths, has_journal);
    if has_journal {
        gathered.superseded = superseded(paths, &gathered.journal, &read);
    }
    for found in read {
        let path = paths.of_others(&found.path);
        // What the administrator says of a log is said instead.
        if gathered.files.iter().all(|source| source.path != path) {
            let log = path.to_string_lossy().into_owned();
            let lines = LineReader::new(log, How::Formats(found.formats), None);
            gathered.files.push(FileSource::new(path, lines, false));
        }
    }
    gathered.of_asterisk(paths);
    gathered
}

/// The logs that would be read without the journal, and are there.
fn superseded(paths: &Paths, journal: &[JournalSource], read: &[Found]) -> Vec<(String, String)> {
    let without = system::logs(paths, false);
    let others = without.into_iter().filter(|found| read.iter().all(|it| it.path != found.path));
    let by = |found: &Found| {
        let has = |source: &&JournalSource| match &source.lines.how {
            How::Formats(formats) => formats.iter().any(|format| found.formats.contains(format)),
            _ => false,
        };
        journal.iter().find(has).map(|source| source.lines.log.clone())
    };
    let there = others.filter(|found| paths.of_others(&found.path).exists());
    there.filter_map(|found| Some((found.path.clone(), by(&found)?))).collect()
}

impl Gathered {
    fn configured(&mut self, watched: &Watched) {
        match &watched.place {
            Place::File(path) => match file(path, watched) {
                Ok(lines) => {
                    self.files.push(FileSource::new(Path::new(path).to_owned(), lines, true));
                }
                Err(error) => self.not_read(path, error),
            },
            Place::Manager(server) => {
                let login = watched.login.clone();
                self.managers.push(Spec { server: *server, login, is_configured: true });
            }
            Place::Journal(unit) => self
                .in_journal(watched, &format!("journal {unit}"), |_| Ok(Whose::Unit(unit.clone()))),
            Place::Described(filter) => {
                self.in_journal(watched, &format!("journal by filter {filter}"), |how| match how {
                    How::Filter(by) => {
                        Described::of(by.filter.journal_match()).map(Whose::Described)
                    }
                    _ => Err("it is read by a format".to_owned()),
                });
            }
        }
    }

    fn in_journal(
        &mut self,
        watched: &Watched,
        log: &str,
        whose: impl FnOnce(&How) -> Result<Whose, String>,
    ) {
        let read = how(&watched.reads, FilterSource::Journal);
        let read = read.and_then(|(how, instead_of)| Ok((whose(&how)?, how, instead_of)));
        match read {
            Ok((whose, how, instead_of)) => {
                let mut lines = LineReader::new(log.to_owned(), how, service_of(watched));
                lines.knows_writer = true;
                lines.instead_of = instead_of;
                self.journal.push(JournalSource { whose, lines, is_configured: true, added: None });
            }
            Err(error) => self.not_read(log, error),
        }
    }

    /// The manager interface of this host's Asterisk, if none of its logs has the security events. A log is better
    /// where there is one: what is written into it while this program does not run is read later.
    fn of_asterisk(&mut self, paths: &Paths) {
        if system::logs_security(paths) {
            return;
        }
        let found = login::manager(paths).filter(|manager| manager.user(None).is_some());
        let server = found.map(|manager| manager.server);
        if let Some(server) =
            server.filter(|it| self.managers.iter().all(|spec| spec.server != *it))
        {
            self.managers.push(Spec { server, login: None, is_configured: false });
        }
    }

    fn not_read(&mut self, log: &str, error: String) {
        let why = Unreadable::Failed { error };
        self.notices.push(Notice::NotRead { log: log.to_owned(), why });
    }

    fn of_journal(&mut self, paths: &Paths) {
        let mut add = |whose: Whose, log: &str, format: Format| {
            if self.journal.iter().any(|source| source.whose == whose) {
                return;
            }
            let mut lines = LineReader::new(log.to_owned(), How::Formats(vec![format]), None);
            lines.knows_writer = true;
            self.journal.push(JournalSource { whose, lines, is_configured: false, added: None });
        };
        if system::has_sshd(paths) {
            add(Whose::Sshd, "journal ssh", Format::Sshd);
        }
        let servers = [("kamailio", Format::Kamailio), ("opensips", Format::Opensips)];
        for (name, format) in servers {
            if paths.of_others(&format!("/etc/{name}")).exists() {
                let unit = format!("{name}.service");
                add(Whose::Unit(unit.clone()), &format!("journal {unit}"), format);
            }
        }
    }
}

/// What reads a file, as its table says.
pub(super) fn file(path: &str, watched: &Watched) -> Result<LineReader, String> {
    let (how, instead_of) = how(&watched.reads, FilterSource::File)?;
    let mut lines = LineReader::new(path.to_owned(), how, service_of(watched));
    lines.instead_of = instead_of;
    Ok(lines)
}

/// How a log is read, and which filter that replaces.
fn how(reads: &ReadBy, source: FilterSource) -> Result<(How, Option<String>), String> {
    Ok(match reads {
        ReadBy::Detected => (How::Undetected, None),
        ReadBy::Format(format) => (How::Formats(vec![*format]), None),
        ReadBy::Patterns(patterns) => (How::Patterns(patterns.clone()), None),
        ReadBy::Filter { name, thresholds } => {
            if let Some(format) = native(name) {
                return Ok((How::Formats(vec![format]), Some(name.clone())));
            }
            let (name, filter) = (name.clone(), filter(name, source)?);
            let thresholds = *thresholds;
            (How::Filter(Box::new(ByFilter { name, filter, thresholds })), None)
        }
    })
}

/// A filter of fail2ban, with the files that it includes.
pub(super) fn filter(name: &str, source: FilterSource) -> Result<Filter, String> {
    let reference = Reference::parse(name).map_err(|error| error.to_string())?;
    let mut files = |path: &str| system::text_up_to(Path::new(path), MAX_FILTER);
    Filter::load(&reference, source, &mut files).map_err(|error| error.to_string())
}

/// The kind of the services of which the administrator says that the log tells.
fn service_of(watched: &Watched) -> Option<Service> {
    let kind = |name: &ServiceName| match name.as_str() {
        "sip" | "sip-tls" | "webrtc" | "rtp" => Service::Sip,
        "iax" => Service::Iax,
        "ami" => Service::Ami,
        "web" => Service::Web,
        "provisioning" => Service::Provisioning,
        "ssh" => Service::Ssh,
        _ => Service::Other,
    };
    let mut kinds = watched.services.iter().map(kind);
    let first = kinds.next()?;
    Some(if kinds.all(|kind| kind == first) { first } else { Service::Other })
}
