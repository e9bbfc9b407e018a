//! The table that every benchmark prints: what was done, our figure, the peer's, their ratio, the bar, and whether it holds.
//!
//! A benchmark makes a [`Table`], adds rows as it measures them (they are printed at once, since measuring takes long), and ends
//! with [`Table::finish`]. With `--json` among the program's arguments nothing is printed until the end, and then one JSON array of
//! objects `{"work", "unit", "ours", "peer", "ratio", "bar", "holds"}`; what does not apply is `null`.
//!
//! Exit code: 0 where all bars hold, 1 where one is missed, 2 where something could not be measured.
#![forbid(unsafe_code)]

use std::fmt::{self, Display};
use std::process::ExitCode;

use serde_json::{Value, json};

/// What a figure must keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    /// None: the row is for information.
    Free,
    /// Ours divided by the peer's is at most this.
    Ratio(f64),
    /// Ours divided by the peer's is at least this.
    RatioAtLeast(f64),
    /// Ours is at most this, in the row's unit.
    AtMost(f64),
    /// Ours is at least this, in the row's unit.
    AtLeast(f64),
}

/// One piece of work and what it took.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was done.
    pub work: String,
    /// The unit of both figures, such as `us`.
    pub unit: &'static str,
    /// Our figure.
    pub ours: f64,
    /// The peer's, where there is one.
    pub peer: Option<f64>,
    /// What must hold.
    pub bar: Bar,
}

impl Row {
    /// Ours divided by the peer's.
    pub fn ratio(&self) -> Option<f64> {
        self.peer.map(|peer| self.ours / peer)
    }

    /// Whether the bar holds; none where there is no bar. A figure that is no number holds nothing.
    pub fn holds(&self) -> Option<bool> {
        let ratio = self.ratio().unwrap_or(f64::NAN);
        match self.bar {
            Bar::Free => None,
            Bar::Ratio(bar) => Some(ratio <= bar),
            Bar::RatioAtLeast(bar) => Some(ratio >= bar),
            Bar::AtMost(bar) => Some(self.ours <= bar),
            Bar::AtLeast(bar) => Some(self.ours >= bar),
        }
    }

    fn json(&self) -> Value {
        json!({
            "work": self.work,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer,
            "ratio": self.ratio(),
            "bar": self.bar.to_string(),
            "holds": self.holds(),
        })
    }
}

impl Display for Bar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => out.pad(""),
            Self::Ratio(bar) => out.pad(&format!("<= {bar} x")),
            Self::RatioAtLeast(bar) => out.pad(&format!(">= {bar} x")),
            Self::AtMost(bar) => out.pad(&format!("<= {bar}")),
            Self::AtLeast(bar) => out.pad(&format!(">= {bar}")),
        }
    }
}

impl Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |figure: Option<f64>| figure.map_or("-".to_owned(), significant);
        let verdict = match self.holds() {
            None => "",
            Some(true) => "holds",
            Some(false) => "MISSES",
        };
        write!(
            out,
            "{:58} {:>9} {:>9} {:5} {:>7}  {:10} {verdict}",
            self.work,
            significant(self.ours),
            number(self.peer),
            self.unit,
            number(self.ratio()),
            self.bar,
        )
    }
}

/// A figure with as many places as people can use.
fn significant(figure: f64) -> String {
    match figure.abs() {
        size if size >= 1000.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    }
}

/// The rows so far.
#[derive(Debug)]
pub struct Table {
    json: bool,
    rows: Vec<Row>,
}

impl Table {
    /// An empty table that compares with `peer`; prints its head unless the program was started with `--json`.
    pub fn new(peer: &str) -> Self {
        let json = std::env::args().any(|argument| argument == "--json");
        if !json {
            println!(
                "{:58} {:>9} {peer:>9} {:5} {:>7}  {:10}",
                "work", "ours", "unit", "ratio", "bar"
            );
        }
        Self {
            json,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn add(&mut self, row: Row) {
        if !self.json {
            println!("{row}");
        }
        self.rows.push(row);
    }

    /// Prints what is still to be printed and tells the program's exit code.
    pub fn finish(self) -> ExitCode {
        if self.json {
            let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
            println!("{}", Value::Array(rows));
        }
        let missed = self.rows.iter().any(|row| row.holds() == Some(false));
        ExitCode::from(u8::from(missed))
    }
}

/// The end of a benchmark that could not measure: says why, and gives exit code 2.
pub fn failed(why: &dyn Display) -> ExitCode {
    eprintln!("it could not be measured: {why}");
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, peer: Option<f64>, bar: Bar) -> Row {
        Row {
            work: "copy".into(),
            unit: "us",
            ours,
            peer,
            bar,
        }
    }

    #[test]
    fn a_bar_is_met_at_its_very_figure() {
        assert_eq!(row(2.0, Some(4.0), Bar::Ratio(0.5)).holds(), Some(true));
        assert_eq!(row(2.1, Some(4.0), Bar::Ratio(0.5)).holds(), Some(false));
        assert_eq!(
            row(8.0, Some(4.0), Bar::RatioAtLeast(2.0)).holds(),
            Some(true)
        );
        assert_eq!(row(5.0, None, Bar::AtMost(4.9)).holds(), Some(false));
        assert_eq!(row(5.0, None, Bar::AtLeast(5.0)).holds(), Some(true));
        assert_eq!(row(5.0, None, Bar::Free).holds(), None);
    }

    #[test]
    fn a_ratio_to_nobody_does_not_hold() {
        assert_eq!(row(2.0, None, Bar::Ratio(9.0)).holds(), Some(false));
        assert_eq!(
            row(f64::NAN, Some(1.0), Bar::Ratio(9.0)).holds(),
            Some(false)
        );
        assert_eq!(row(f64::NAN, None, Bar::AtLeast(0.0)).holds(), Some(false));
    }

    #[test]
    fn rows_are_the_same_for_people_and_programs() {
        let row = row(614.4, Some(557.1), Bar::Ratio(1.15));
        let line = row.to_string();
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            [
                "copy", "614.4", "557.1", "us", "1.10", "<=", "1.15", "x", "holds"
            ]
        );
        assert_eq!(row.json()["holds"], true);
        assert_eq!(row.json()["bar"], "<= 1.15 x");
    }
}
