//! Medians and tables.

use crate::frame::Kind;

/// The samples of one variant, in nanoseconds a packet.
pub(crate) struct Figures {
    name: String,
    /// One of each round.
    samples: Vec<f64>,
}

impl Figures {
    /// None yet.
    pub(crate) fn of(name: &str) -> Figures {
        Figures { name: name.to_owned(), samples: Vec::new() }
    }

    /// That of one more round.
    pub(crate) fn push(&mut self, sample: f64) {
        self.samples.push(sample);
    }

    fn median(&self) -> f64 {
        median(self.samples.clone())
    }

    fn least(&self) -> f64 {
        self.samples.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn most(&self) -> f64 {
        self.samples.iter().copied().fold(0.0, f64::max)
    }

    /// How much more than another one, round by round: the median. A slow minute of the machine is in both.
    fn more_than(&self, base: &Figures) -> f64 {
        median(self.samples.iter().zip(&base.samples).map(|(own, other)| own - other).collect())
    }
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    match samples.len() % 2 {
        0 => f64::midpoint(samples[middle - 1], samples[middle]),
        _ => samples[middle],
    }
}

/// Prints one table. The first variant is the baseline for inbound packets (sending alone); each is
/// compared with the variant called `compared`, round with round, median with median and minimum with minimum.
pub(crate) fn table(kind: Kind, counts: &[usize], figures: &[Figures], compared: &str) {
    let floor = figures[0].median();
    let base = figures.iter().find(|figures| figures.name == compared);
    let base = base.unwrap_or_else(|| panic!("unknown variant: {compared}"));
    println!("\nCPU time for {}, in ns, and as a multiple of \"{compared}\":\n", kind.title());
    println!(
        "| server | median | least | most | above sending alone | more, median of rounds | more, least | times, median | times, least | packets a sample |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (figures, count) in figures.iter().zip(counts) {
        let (median, least) = (figures.median(), figures.least());
        println!(
            "| {} | {median:.0} | {least:.0} | {:.0} | {:.0} | {:+.0} | {:+.0} | {:.2} | {:.2} | {count} |",
            figures.name,
            figures.most(),
            median - floor,
            figures.more_than(base),
            least - base.least(),
            median / base.median(),
            least / base.least(),
        );
    }
}
