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

/// Prints one table. The first variant is the floor (sending alone), the second the machine
/// without a firewall; the comparison is with the second.
pub(crate) fn table(kind: Kind, counts: &[usize], figures: &[Figures]) {
    let (floor, bare) = (figures[0].median(), figures[1].median());
    println!("\nCPU time for {}, in ns:\n", kind.title());
    println!(
        "| server | median | least | most | above sending alone | times no firewall | packets a sample |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for (figures, count) in figures.iter().zip(counts) {
        let median = figures.median();
        println!(
            "| {} | {median:.0} | {:.0} | {:.0} | {:.0} | {:.2} | {count} |",
            figures.name,
            figures.samples[0],
            figures.samples[figures.samples.len() - 1],
            median - floor,
            median / bare,
        );
    }
}
