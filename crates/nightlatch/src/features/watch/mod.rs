//! Watch: reads logs, and tells who attacks as soon as the line is written.
//!
//! What is installed here is found: the logs that Asterisk's `logger.conf` names, those of FreePBX, FreeSWITCH,
//! FusionPBX, Kamailio, OpenSIPS, nginx and Apache, and sshd in the journal (`auth.log` only where there is no
//! journal). Tables `[[watch]]` in the configuration name others: a path, or a unit of the journal, with a
//! `format`, a `filter` of fail2ban, or a `pattern` with `<ADDRESS>` in place of the address. Who tries too
//! often (`[attempts]` in the configuration) is banned, see `nightlatch bans`; accounts, leases and registered
//! phones are limited instead.
//!
//! Programs that are installed later are found within half a minute.
//!
//! **Asterisk's manager interface (AMI).** Where no log of Asterisk has its security events, they are heard over the
//! manager interface: on this host, as a user of `manager.conf` whose `read` has `security` (or `all`), preferably
//! one called `nightlatch`, so that nothing has to be configured where there is one. `ami = "127.0.0.1:5038"` in a
//! table `[[watch]]` names another one, with `user`, and with `secret-file` where the secret is not in
//! `manager.conf`: a file whose first line it is, and that is not for everybody (`chmod 600`). The secret itself is
//! not sent, only the answer to a challenge. A log is the better way, and is read instead where there is one: what
//! is written into it while this program does not run is read later, what is reported over a connection that does
//! not exist is lost. So `watch list` shows since when an interface is connected, and for how long it was not. An
//! attempt that is both in a log and reported counts once.
//!
//! Attempts are counted, not lines: one REGISTER of an unknown account is one attempt, although Asterisk writes
//! six lines of it into two files. A log is followed through rotation by rename, by copying and emptying, and by
//! replacement. How far it was read is kept with the counts, so that after a restart no line counts twice and none
//! is left out; if lines were lost, because a log was emptied before they were read, a notice says so. Lines
//! longer than 16 kB are left out.
//!
//! A request without credentials is no failure: each honest login begins with one, and gets a challenge. But a source
//! that is challenged for 20 different accounts within ten minutes (four times `quick-attempts`, within
//! `quick-within`), and answers none of these challenges within ten seconds, is banned briefly. This applies only to
//! sources from which nobody has logged in, and only in logs that show successful logins too; with our snippet for
//! Kamailio and OpenSIPS, that is the part that is called after a success.
//!
//! **Filters of fail2ban** are read as they are: `filter = "dovecot"`, `"postfix[mode=auth]"` or a path. Where there is a
//! format for the same lines, it is used instead, and `watch list` says so. In a table with a filter, `maxretry` (1 to
//! 100; 5), `findtime` (1s to 7d; 10m) and `bantime` (10s to 1d; 10m) are written as in fail2ban: a number of seconds, or
//! `10m`, `12h`, `1d`, `1w`. No jail of fail2ban on this machine is looked at. What a filter finds counts for that log
//! alone, together with no other log; lines of one session within ten seconds are one attempt. A filter cannot tell
//! whether a client wrote the address that it finds, so its bans are bounded: in length, in number (`max-brief` under
//! `[bans]`), and they do not grow. A line in which the filter could have found another address as well, or in which it
//! finds a host name, is a notice and no ban; host names are never looked up. Of the journal, a table names the unit,
//! or, with a filter that has a `journalmatch`, neither path nor unit.
//!
//! **Phones.** A phone with a wrong password tries again and again: a notice says so, and its address, from which
//! perhaps an office calls, is not banned, as long as it tries no more than `phone-per-hour` times. Who guesses as slowly
//! as that looks the same. So it counts for how long it goes on, and whether anybody else is there: more than
//! `phone-per-day` attempts a day (on average over more than a day), from an address from which nobody at all has logged
//! in for a week, lead to a brief ban each time, which leaves one guess for each of these bans. It ends as soon as any phone
//! registers from there, which it can between two of them.
//!
//! Under `[attempts]`, `quick-attempts` is 1 to 100, `slow-attempts` that to 200, `phone-per-hour` and `phone-burst` 1
//! to 3600, `phone-per-day` 1 to 86400, `neighbours` 2 to 100, `found-after` 1 to 100, `max-sources` 1000 to 10000000, and each time 1s to 30d;
//! `slow-within` is not less than `quick-within`.
//!
//! **Trust.** Only a file that nobody but root can write or replace is fully trusted. From all others, and from lines
//! that came by way of syslog, where any program can write what it likes, bans are brief, and there is a
//! bound for all of them together. Of the journal, sshd's lines count only if sshd itself wrote them: `logger -t
//! sshd` has no effect. Symbolic links, pipes and devices are not read.
//!
//! `nightlatch watch` shows attempts as they come: when, from where and how fast, at which service, how it
//! ended, the country and the network of the source, with which account, and what is configured for the address.
//! Country and network are those of `nightlatch bans`. Text that a client chose is in quotes. Ctrl-C ends it. With
//! `--json`, it is one object a line, with `at` (milliseconds since 1970), `source`, `port`, `service`, `outcome`,
//! `account`, `agent`, `dialled`, `log`, `trust`, `missed` (how many came before and are not shown because they
//! were too many), and `country`, `system` and `networks` as `nightlatch bans` has them.
//!
//! `nightlatch watch list` shows what is read, and, after BLIND, what fails without a line in any log, with the
//! line of the configuration that changes that: chan_iax2 without `authdebug`, FreeSWITCH without
//! `log-auth-failures`, Kamailio without the snippet, Asterisk's REST interface.
//!
//! `nightlatch watch summary` sums up the last 24 hours, `nightlatch watch summary week` the last seven days (UTC): how
//! many attempts failed and how many bans began, by hour or by day, the sources and accounts that came most often,
//! and the services. With `--svg` it is a picture, on standard output or in a file (`--svg=FILE`). It is read from
//! what is kept on disk, so it needs no daemon, and a restart changes nothing; what was read within the last second
//! may be missing. Counts are kept by hour for a week. With more than 48 sources or accounts within an hour, the
//! most frequent ones are counted, and each count is a lower bound. With `--json` there are `span`, `from`,
//! `until` (milliseconds since 1970), `bins` (`begin`, `attempts`, `bans`, `limits`), the sums of these, `services`, `sources`
//! (with `country`, `system` and `networks`), `accounts` (each with `attempts`), and `is_exact`.
//!
//! `nightlatch watch test FILE` reads a log once (`-`: standard input) and changes nothing: who would have been
//! banned, when and on which evidence, how many attempts came afterwards, and which of your own people would have
//! been concerned, as the daemon says. A log that a table `[[watch]]` names is read as that says; `--as` names another
//! format or a filter. Options change the thresholds. Stamps without a time zone are in that of this server.

mod blind;
pub mod cli;
mod find;
mod intake;
mod io;
mod manager;
mod picture;
mod record;
mod replay;
mod seen;
mod sparing;
mod svg;
mod trust;
mod view;
mod wording;

use nightlatch_core::features::watch::{Event, Job, Watch};

use super::worded::Works;
use crate::shell::background::Background;

impl Works for Watch {
    fn progress(background: &Background) -> Option<Event> {
        let reader = background.kept::<Option<io::Reader>>()?;
        let standing = reader.as_ref().as_ref()?.standing();
        Some(Event::Stands(Box::new(standing)))
    }

    fn run(job: Job, background: &Background) {
        let reader = background.keep(|| io::Reader::begin(background));
        if let Some(reader) = reader.as_ref() {
            reader.take(job);
        }
    }
}
