//! Our time for a verdict beside Cedar's, on the same policy and the same requests, in the same run.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use bulkhead_policy::{Decider, Policy};
use cedar_policy::Authorizer;

use crate::plan::{Numbers, Plan, Question};

/// One line of the benchmark.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is done.
    pub work: &'static str,
    /// Our time, in nanoseconds.
    pub ours: f64,
    /// The peer's time for the same, in nanoseconds.
    pub peer: Option<f64>,
    /// What ours must not exceed, in nanoseconds.
    pub bar: f64,
}

impl Row {
    /// Whether ours keeps within the bar.
    pub fn holds(&self) -> bool {
        self.ours <= self.bar
    }

    /// How many times as long the peer takes.
    pub fn ratio(&self) -> Option<f64> {
        self.peer.map(|peer| peer / self.ours)
    }

    /// As one JSON value.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "work": self.work, "unit": "ns", "ours": self.ours, "peer": self.peer, "ratio": self.ratio(), "bar": self.bar, "holds": self.holds(),
        })
    }
}

/// The median time of a piece of work done for each item of a list, over several rounds.
fn median<T, R>(items: &[T], rounds: usize, batch: usize, work: impl Fn(&T) -> R) -> f64 {
    let mut times = Vec::with_capacity(rounds * items.len());
    for _ in 0..rounds {
        for item in items {
            // A batch of the same, so that the clock's own time does not count.
            let start = Instant::now();
            for _ in 0..batch {
                black_box(work(black_box(item)));
            }
            let nanoseconds = u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX);
            times.push(f64::from(nanoseconds) / f64::from(u32::try_from(batch).unwrap_or(1)));
        }
    }
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measures all rows: 50 zones and 2,000 rules, with and without rules that speak of every zone.
pub fn measure() -> Vec<Row> {
    let mut numbers = Numbers(0x5eed_cafe);
    let mut rows = Vec::new();
    for (work, with_any) in [
        ("verdict, 50 zones, 2,000 rules on zones and tags", false),
        ("verdict, 50 zones, 2,000 rules, many on any zone", true),
    ] {
        let plan = Plan::random(&mut numbers, 50, 2_000, with_any);
        let (decider, policies, entities) = (plan.decider(), plan.policies(), plan.entities());
        let questions: Vec<Question> = (0..400).map(|_| plan.question(&mut numbers)).collect();
        let ours = median(&questions, 5, 50, |question| decider.decide(&question.ours));
        let authorizer = Authorizer::new();
        let few: Vec<cedar_policy::Request> =
            questions.iter().take(20).map(Question::cedar).collect();
        let peer = median(&few, 1, 1, |request| {
            authorizer.is_authorized(request, &policies, &entities)
        });
        rows.push(Row {
            work,
            ours,
            peer: Some(peer),
            bar: 1_000.0,
        });
        if !with_any {
            let text = plan.ours();
            let texts = [text.as_bytes()];
            let theirs = plan.cedar();
            let parse = median(&texts, 5, 1, |bytes| Policy::parse("plan.toml", bytes));
            let peer = median(&[theirs.as_str()], 3, 1, |text| {
                text.parse::<cedar_policy::PolicySet>()
            });
            rows.push(Row {
                work: "read a policy of 50 zones and 2,000 rules",
                ours: parse,
                peer: Some(peer),
                bar: 250e6,
            });
            let lint = median(&texts, 3, 1, |bytes| {
                Policy::parse("plan.toml", bytes).map(|policy| Decider::new(policy).lint(None))
            });
            rows.push(Row {
                work: "check it (read, compile, lint)",
                ours: lint,
                peer: None,
                bar: 1e9,
            });
            let matrix = median(&[()], 3, 1, |()| {
                decider.matrix(&bulkhead_policy::Kind::ALL)
            });
            rows.push(Row {
                work: "matrix of all zones and kinds",
                ours: matrix,
                peer: None,
                bar: 1e9,
            });
            let reach = median(&[()], 3, 1, |()| decider.reach(true));
            rows.push(Row {
                work: "reach of all zones",
                ours: reach,
                peer: None,
                bar: 1e9,
            });
        }
    }
    rows
}

/// The rows as a table.
pub fn show(rows: &[Row]) -> String {
    let time = |nanoseconds: f64| match nanoseconds {
        short if short < 1e3 => format!("{short:.0} ns"),
        short if short < 1e6 => format!("{:.1} us", short / 1e3),
        long if long < 1e9 => format!("{:.1} ms", long / 1e6),
        long => format!("{:.2} s", long / 1e9),
    };
    let mut table = format!(
        "{:50}  {:>9}  {:>9}  {:>8}  {:>9}\n",
        "work", "ours", "Cedar", "ratio", "bar"
    );
    for row in rows {
        let peer = row.peer.map_or_else(|| "-".to_owned(), time);
        let ratio = row
            .ratio()
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.0} x"));
        let verdict = if row.holds() { "holds" } else { "MISSES" };
        let _ = writeln!(
            table,
            "{:50}  {:>9}  {peer:>9}  {ratio:>8}  {:>9}  {verdict}",
            row.work,
            time(row.ours),
            time(row.bar)
        );
    }
    table
}
