//! The log on standard error. `error` always means a defect of ours.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

pub(super) fn start(verbose: u8) {
    // The window library warns of displays that it can do without.
    let usual = match verbose {
        0 => "warn,winit=error",
        1 => "info,winit=error",
        _ => "debug,winit=warn",
    };
    let filter = EnvFilter::try_from_env("BULKHEAD_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
