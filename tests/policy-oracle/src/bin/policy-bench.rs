//! Prints our time for verdicts beside Cedar's; with `--json` as JSON. Ends with code 1 where a bar is missed.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut table = bench_table::Table::new("Cedar");
    policy_oracle::measure(&mut table);
    table.finish()
}
