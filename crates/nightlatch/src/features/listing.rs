//! What `list` shows, as the features add to it.

use serde::Serialize;

use super::fields::Fields;
use crate::shell::screen;

/// What `list` shows: fields of its JSON, and tables. Both stand in the order of their numbers.
#[derive(Debug, Default)]
pub struct Listing {
    pub(crate) fields: Fields,
    tables: Vec<(u8, Table)>,
}

#[derive(Debug)]
struct Table {
    header: &'static [&'static str],
    rows: Vec<Vec<String>>,
    /// What is said if there is no row.
    nothing: &'static str,
}

impl Listing {
    /// Adds records of one kind: a field, and a table. Without any, a sentence instead of the table, if
    /// there is one.
    pub fn records<T: Serialize>(
        &mut self,
        (number, name): (u8, &'static str),
        records: &[T],
        header: &'static [&'static str],
        row: fn(&T) -> Vec<String>,
        nothing: &'static str,
    ) {
        self.fields.set(number, name, records);
        let rows = records.iter().map(row).collect();
        self.tables.push((number, Table { header, rows, nothing }));
    }

    /// Shows the tables.
    pub(crate) fn show(mut self) {
        self.tables.sort_by_key(|(number, _)| *number);
        let tables = self.tables.iter().map(|(_, table)| table);
        let tables = tables.filter(|table| !table.rows.is_empty() || !table.nothing.is_empty());
        for (at, Table { header, rows, nothing }) in tables.enumerate() {
            if at > 0 {
                screen::say("");
            }
            if rows.is_empty() {
                screen::say(nothing);
            } else {
                screen::table(header, rows);
            }
        }
    }
}
