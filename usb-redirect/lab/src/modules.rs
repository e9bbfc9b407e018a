//! Loads the kernel modules that the test packed, in its order.

use std::fs::{self, File};

use anyhow::{Context, Result};

/// Loads `/modules/*` in the order of `/modules/order`.
pub fn load_all() -> Result<()> {
    let order = fs::read_to_string("/modules/order").context("read the order of modules")?;
    for name in order.lines() {
        let file = File::open(format!("/modules/{name}")).with_context(|| name.to_owned())?;
        match rustix::system::finit_module(&file, c"", 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error).with_context(|| format!("load {name}")),
        }
    }
    Ok(())
}
