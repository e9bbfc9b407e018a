//! The machine's network, by the distribution's `ip`.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Brings up the loop, and the one network card with an address where one is given.
pub fn up(address: Option<&str>) -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    if let Some(address) = address {
        ip(&["address", "add", address, "dev", "eth0"])?;
        ip(&["link", "set", "eth0", "up"])?;
    }
    Ok(())
}

fn ip(words: &[&str]) -> Result<()> {
    let ran = Command::new("/usr/sbin/ip")
        .args(words)
        .output()
        .context("run ip")?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "ip {words:?}: {said}");
    Ok(())
}
