//! Where the bytes of a list go as they arrive.

use nightlatch_parse::country::{self, Countries, CountryError, Layout};
use nightlatch_parse::feed::{self, FeedError, Parsed};
use nightlatch_parse::tally::Tally;

/// A parser that takes a list block by block.
pub trait Sink {
    /// What it makes of the list.
    type Output;
    /// Why it cannot.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Takes the next block.
    ///
    /// # Errors
    /// As soon as it is plain that this is no such list; the rest is not fetched then.
    fn push(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// The end of the list. `clean` takes a key out of a text that the list may have quoted.
    ///
    /// # Errors
    /// Where this was no such list.
    fn finish(self, clean: &dyn Fn(&str) -> String) -> Result<Self::Output, Self::Error>;
}

impl Sink for feed::Reader {
    type Output = Parsed;
    type Error = FeedError;

    fn push(&mut self, bytes: &[u8]) -> Result<(), FeedError> {
        feed::Reader::push(self, bytes)
    }

    fn finish(self, clean: &dyn Fn(&str) -> String) -> Result<Parsed, FeedError> {
        let mut parsed = feed::Reader::finish(self)?;
        clean_samples(&mut parsed.tally, clean);
        Ok(parsed)
    }
}

/// Takes a table of countries: one of the text forms as it arrives, or a database in the `MaxMind`
/// format, which is held whole because its tree is at its start and its format at its end.
#[derive(Debug)]
pub struct CountrySink {
    text: country::Reader,
    database: Option<Vec<u8>>,
    begun: bool,
    limit: usize,
}

impl CountrySink {
    /// A sink for a table of at most `limit` ranges. [`Layout::Auto`] takes databases too.
    pub fn new(layout: Layout, limit: usize) -> CountrySink {
        CountrySink {
            text: country::Reader::new(layout, limit),
            database: (layout == Layout::Auto).then(Vec::new),
            begun: false,
            limit,
        }
    }
}

impl Sink for CountrySink {
    type Output = Countries;
    type Error = CountryError;

    fn push(&mut self, bytes: &[u8]) -> Result<(), CountryError> {
        // The numbers of a database's first node are small, so that their high bytes are zero; a
        // text has none.
        if !self.begun && !bytes.is_empty() {
            self.begun = true;
            let is_database = bytes.iter().take(8).any(|byte| *byte == 0);
            self.database.take_if(|_| !is_database);
        }
        match &mut self.database {
            Some(database) => database.extend_from_slice(bytes),
            None => self.text.push(bytes)?,
        }
        Ok(())
    }

    fn finish(self, clean: &dyn Fn(&str) -> String) -> Result<Countries, CountryError> {
        let mut countries = match self.database {
            Some(database) if self.begun => country::mmdb::read(&database, self.limit)?,
            _ => self.text.finish()?,
        };
        clean_samples(&mut countries.tally, clean);
        Ok(countries)
    }
}

fn clean_samples(tally: &mut Tally, clean: &dyn Fn(&str) -> String) {
    for sample in &mut tally.samples {
        sample.text = clean(&sample.text);
    }
}
