//! `cargo xtask demo`: two Debian desktops on one screen.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::project::{IMAGE_STORE, Project, step};
use crate::{packages, project};

/// What happens where there is no display: the zones do something to be seen on the picture.
const SCRIPT: &str = "packaging/xtask/demo.script";

/// Builds everything and runs the demo.
pub fn run(project: &Project) -> Result<ExitCode> {
    let display = ["WAYLAND_DISPLAY", "DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    packages::install(packages::BUILD)?;
    if display {
        packages::install(packages::WINDOW)?;
    }
    project.build()?;
    project.image()?;
    let mut bulkhead = Command::new(project.bulkhead());
    bulkhead
        .args(["run", "--policy"])
        .arg(project.path("assets/demo/policy.toml"))
        .arg("--image-store")
        .arg(project.path(IMAGE_STORE))
        .arg("--state-dir")
        .arg(project.path("out/state"));
    if display {
        step("showing two zones; close the window to end");
        project::run(&mut bulkhead)?;
        return Ok(ExitCode::SUCCESS);
    }
    step("there is no display: running two zones without one until both desktops are drawn");
    let picture = project.path("out/demo.png");
    project::run(
        bulkhead
            .args(["--headless", "--size", "1600x900", "--script"])
            .arg(project.path(SCRIPT))
            .arg("--screenshot")
            .arg(&picture),
    )?;
    println!("{}", picture.display());
    Ok(ExitCode::SUCCESS)
}
