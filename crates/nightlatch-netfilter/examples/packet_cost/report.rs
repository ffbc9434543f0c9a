//! Medians and tables.

use crate::frame::Kind;

/// The samples of one variant.
pub(crate) struct Figures {
    name: String,
    samples: Vec<f64>,
}

impl Figures {
    /// None yet.
    pub(crate) fn of(name: &str) -> Figures {
        Figures { name: name.to_owned(), samples: Vec::new() }
    }

    /// One more, in nanoseconds a packet.
    pub(crate) fn push(&mut self, sample: f64) {
        self.samples.push(sample);
        self.samples.sort_by(f64::total_cmp);
    }

    fn median(&self) -> f64 {
        let middle = self.samples.len() / 2;
        match self.samples.len() % 2 {
            0 => f64::midpoint(self.samples[middle - 1], self.samples[middle]),
            _ => self.samples[middle],
        }
    }
}

/// Prints one table. The first variant is the baseline for inbound packets (sending alone); each is
/// compared with the variant called `compared`, median with median and minimum with minimum.
pub(crate) fn table(kind: Kind, counts: &[usize], figures: &[Figures], compared: &str) {
    let floor = figures[0].median();
    let base = figures.iter().find(|figures| figures.name == compared);
    let base = base.unwrap_or_else(|| panic!("unknown variant: {compared}"));
    println!("\nCPU time for {}, in ns, and as a multiple of \"{compared}\":\n", kind.title());
    println!(
        "| server | median | least | most | above sending alone | times, median | times, least | packets a sample |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for (figures, count) in figures.iter().zip(counts) {
        let (median, least) = (figures.median(), figures.samples[0]);
        println!(
            "| {} | {median:.0} | {least:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {count} |",
            figures.name,
            figures.samples[figures.samples.len() - 1],
            median - floor,
            median / base.median(),
            least / base.samples[0],
        );
    }
}
