//! Our time for a verdict beside Cedar's, on the same policy and the same requests, in the same run.

use std::hint::black_box;
use std::time::Instant;

use bench_table::{Bar, Row, Table};
use bulkhead_policy::{Decider, Policy};
use cedar_policy::Authorizer;

use crate::plan::{Numbers, Plan, Question};

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

/// A row in microseconds, of nanoseconds.
fn row(work: &str, ours: f64, peer: Option<f64>, bar: f64) -> Row {
    Row {
        work: work.into(),
        unit: "us",
        ours: ours / 1e3,
        peer: peer.map(|peer| peer / 1e3),
        bar: Bar::AtMost(bar),
    }
}

/// Measures all rows: 50 zones and 2,000 rules, with and without rules that speak of every zone.
pub fn measure(table: &mut Table) {
    let mut numbers = Numbers(0x5eed_cafe);
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
        table.add(row(work, ours, Some(peer), 1.0));
        if !with_any {
            let text = plan.ours();
            let texts = [text.as_bytes()];
            let theirs = plan.cedar();
            let parse = median(&texts, 5, 1, |bytes| Policy::parse("plan.toml", bytes));
            let peer = median(&[theirs.as_str()], 3, 1, |text| {
                text.parse::<cedar_policy::PolicySet>().ok()
            });
            table.add(row(
                "read a policy of 50 zones and 2,000 rules",
                parse,
                Some(peer),
                250e3,
            ));
            let lint = median(&texts, 3, 1, |bytes| {
                Policy::parse("plan.toml", bytes).map(|policy| Decider::new(policy).lint(None))
            });
            table.add(row("check it (read, compile, lint)", lint, None, 1e6));
            let matrix = median(&[()], 3, 1, |()| {
                decider.matrix(&bulkhead_policy::Kind::ALL)
            });
            table.add(row("matrix of all zones and kinds", matrix, None, 1e6));
            let reach = median(&[()], 3, 1, |()| decider.reach(true));
            table.add(row("reach of all zones", reach, None, 1e6));
        }
    }
}
