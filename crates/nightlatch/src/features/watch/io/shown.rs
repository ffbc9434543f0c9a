//! How the reading stands, for whoever asks.

use nightlatch_core::detect::Trust;
use nightlatch_core::features::watch::{Blindness, Source, SourceState, Standing, WhyLow};

use super::source::FileSource;
use super::{SHOW_INTERVAL, Thread, lock};
use crate::shell::clock::Stopwatch;

impl Thread {
    /// Shows it, where it was not just shown.
    pub(super) fn show(&mut self) {
        if self.shown.elapsed() < SHOW_INTERVAL {
            self.is_shown = false;
            return;
        }
        self.shown = Stopwatch::start();
        self.is_shown = true;
        let files = self.sources.iter().map(FileSource::standing);
        // What nobody asked for and is not there is nothing to tell of.
        let files = files.filter(|it| it.is_configured || it.state != SourceState::Missing);
        let superseded = self.superseded.iter().map(|(log, by)| Source {
            log: log.clone(),
            format: None,
            thresholds: None,
            is_configured: false,
            state: SourceState::Superseded { by: by.clone() },
            trust: Trust::Low,
            why_low: Some(WhyLow::Syslog),
            lines: 0,
            attempts: 0,
            doubtful: 0,
            too_long: 0,
            given_up: 0,
            lost: 0,
            gaps: 0,
            gap_seconds: 0,
            since: None,
            last_line: None,
            last_attempt: None,
        });
        let sources = files.chain(self.journal.standing()).chain(self.managers.standing());
        let sources = sources.chain(superseded).collect();
        let mut blind = self.blind.clone();
        // They come another way.
        blind.retain(|it| it.what != Blindness::AsteriskSecurity || !self.managers.hears());
        let attack = self.intake.judge.underway();
        *lock(&self.shared) = Standing { sources, blind, attack };
    }
}
