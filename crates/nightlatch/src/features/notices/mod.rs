//! Notices: events that an administrator must know, sent to a command of yours.
//!
//! Nightlatch reports when the firewall is off and who turned it off, when another program changed its table, when
//! the disk is full, when the state cannot be written or the kernel does not take the table, when an account has
//! expired, when a feed is stale, and when a phone is registered from an address without an account. `nightlatch
//! status` shows those of the last day; the journal and `nightlatch log` have all. With `[notices] command` in the
//! configuration, each notice is also given to a program as one JSON object on one line of its standard input, e.g.
//! to send it to a webhook.
//!
//! The object has `product`, `host`, `at`, `feature`, `kind`, `severity`, `count`, `first`, `last` (all times in
//! milliseconds since 1970), a `message` for people, and `fields` with texts from outside. The kinds are
//! `firewall-off`, `table-changed`, `disk-full`, `store-failed`, `kernel-failed`, `account-ended`, `feed-stale`,
//! `unlisted-registration`, `provider-changed`, `provider-gone`, `summary` and `not-delivered`.
//!
//! Equal notices within an hour are one, which counts. The program runs at most twenty times an hour; further
//! notices are put into one summary. If it fails, it is retried after 30 seconds, then at growing intervals up to
//! an hour, also after a restart, and `nightlatch status` has a warning. After a day a notice is discarded; the
//! number of discarded notices is reported when the program works again.
//!
//! The program runs without a shell, as an unprivileged user, and is killed after ten seconds, with its process
//! group. It is not run if anybody but root could change it. It runs in the sandbox of the daemon's unit: it sees
//! no home folders, can write only to a `/tmp` of its own, and cannot use programs that need the rights of another
//! user, e.g. `sendmail`. Texts from outside may be an attacker's. They are bounded, and control characters in them
//! are escaped, but never let a shell evaluate them.

mod io;
mod wording;
