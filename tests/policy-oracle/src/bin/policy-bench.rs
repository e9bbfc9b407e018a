//! Prints our time for verdicts beside Cedar's; with `--json` as JSON. Ends with code 1 where a bar is missed.

use std::process::ExitCode;

fn main() -> ExitCode {
    let rows = policy_oracle::measure();
    if std::env::args().any(|argument| argument == "--json") {
        println!(
            "{}",
            serde_json::Value::Array(rows.iter().map(policy_oracle::Row::json).collect())
        );
    } else {
        print!("{}", policy_oracle::show(&rows));
    }
    ExitCode::from(u8::from(!rows.iter().all(policy_oracle::Row::holds)))
}
