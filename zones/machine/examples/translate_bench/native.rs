//! The same work on this host itself, which tells of it as the guests do.
//!
//! Debian's programs are the host's: they are of its release, and gcc compiles for its processor. They read files that the
//! kernel has in memory already, where a guest reads its volume for the first time.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{BOOTS, Failure, PROGRAMS, Rows};

const COMPILER: &str = "gcc";
/// Turns for each measurement: the kernel tells times in hundredths of a second, and a program is done in four of them.
const TURNS: usize = 10;

/// Our benchmark program, compiled for this host.
pub(crate) fn own(folder: &Path) -> Result<Rows, Failure> {
    let program = folder.join("native");
    crate::compile(COMPILER, "gcc", &program)?;
    let program = Command::new(program)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    crate::run(program)
}

/// This host's own of [`PROGRAMS`], each turn in a new folder. What is not installed is left out.
pub(crate) fn programs(folder: &Path) -> Result<Rows, Failure> {
    let folder = folder.join("native-programs");
    fs::create_dir(&folder)?;
    for file in crate::program_files() {
        fs::copy(&file, folder.join(file.file_name().ok_or("no file")?))?;
    }
    let mut script = "programs=$PWD\n".to_owned();
    for (name, ..) in PROGRAMS {
        for measurement in 0..BOOTS {
            script += &format!("echo begin {name}\n");
            for turn in 0..TURNS {
                let place = format!("{name}-{measurement}-{turn}");
                fs::create_dir(folder.join(&place))?;
                script += &format!(r#"cd "$programs/{place}" && sh "$programs/{name}""#);
                script += " >output 2>&1 && ";
            }
            script += &format!("echo work {name} {TURNS} -");
            // A command that is not there has status 127.
            script += " || [ $? = 127 ] || { cat output; exit; }\n";
        }
    }
    // As a machine does, it stays until it is ended.
    script += "echo done\nread end";
    let shell = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder)
        // As the guest's init has it.
        .env_clear()
        .envs([("PATH", "/usr/bin:/usr/sbin"), ("HOME", "/tmp")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let rows = crate::run(shell)?;
    match rows.last.last() {
        Some(end) if end == "done" => Ok(rows),
        _ => Err(format!("this host's own programs fail:\n{}", rows.last.join("\n")).into()),
    }
}
