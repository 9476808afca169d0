//! Rows → CSV text (RFC 4180): a field is in quotes where it needs them, lines end in `\n`.

/// CSV text in memory.
pub struct CsvText(csv::Writer<Vec<u8>>);

impl CsvText {
    /// No rows yet.
    pub fn new() -> CsvText {
        CsvText(csv::WriterBuilder::new().flexible(true).from_writer(Vec::new()))
    }

    /// Adds a row.
    pub fn row<I>(&mut self, fields: I)
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        // Memory takes every byte, and rows of any length are taken.
        let _ = self.0.write_record(fields);
    }

    /// The rows; bytes that are not UTF-8 are replaced.
    pub fn finish(self) -> String {
        let bytes = self.0.into_inner().unwrap_or_default();
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

impl Default for CsvText {
    fn default() -> CsvText {
        CsvText::new()
    }
}

/// A single row, without its end.
pub fn csv_row<I>(fields: I) -> String
where
    I: IntoIterator,
    I::Item: AsRef<[u8]>,
{
    let mut text = CsvText::new();
    text.row(fields);
    let mut row = text.finish();
    row.truncate(row.trim_end_matches('\n').len());
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_in_quotes_only_where_they_need_them() {
        let row = csv_row(["#a b", "c,d", "say \"e\"", "f\ng", "h\ri", "", "\u{e9}"]);
        assert_eq!(row, "#a b,\"c,d\",\"say \"\"e\"\"\",\"f\ng\",\"h\ri\",,\u{e9}");
        let mut text = CsvText::new();
        text.row(["a", "b"]);
        text.row(["1"]);
        assert_eq!(text.finish(), "a,b\n1\n");
    }
}
