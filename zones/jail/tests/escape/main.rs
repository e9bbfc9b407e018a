//! Prisoners that try to get out: this program starts itself as a jailed process, has it try one thing, and looks at how that ended.
//! Tests of the whole jail come first, then of each layer alone.
//!
//! It has a `main` of its own because a jail closes around a process with a single thread.

mod alone;
mod prisoner;
mod whole;

use std::fmt;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

/// How an attempt ended.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// It worked, with this to say.
    Worked(String),
    /// The kernel refused with this errno.
    Refused(i32),
    /// The jail could not be closed.
    NoJail(String),
    /// The process ended by this signal.
    Killed(i32),
    /// The process ended with this code and said nothing.
    Exited(i32),
}

/// A prisoner to be.
#[derive(Clone, Default)]
pub(crate) struct Prisoner {
    arguments: Vec<String>,
    user: Option<u32>,
}

impl Prisoner {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Leaves these layers out of the jail.
    pub(crate) fn without(self, layers: &str) -> Self {
        self.flag("--leave-out", layers)
    }

    /// Only these layers.
    pub(crate) fn only(self, layers: &str) -> Self {
        let kept: zone_jail::Layers = layers.parse().unwrap();
        let rest: zone_jail::Layers = zone_jail::Layer::ALL
            .into_iter()
            .filter(|layer| !kept.contains(*layer))
            .collect();
        self.flag("--leave-out", &rest.to_string())
    }

    pub(crate) fn requiring(self, layers: &str) -> Self {
        self.flag("--require", layers)
    }

    /// On a host that refuses these: `unshare`, `user-namespaces`, `landlock`.
    pub(crate) fn on_a_host_without(self, features: &str) -> Self {
        self.flag("--host-lacks", features)
    }

    /// Started by this user instead of the one who runs the tests.
    pub(crate) fn started_by(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    fn flag(mut self, flag: &str, value: &str) -> Self {
        self.arguments.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    pub(crate) fn start(&self, attempt: &[&str]) -> Child {
        let mut command = Command::new(own_copy());
        command
            .arg("--prisoner")
            .args(&self.arguments)
            .args(attempt);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear();
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command.spawn().unwrap()
    }

    /// Has the prisoner try something.
    pub(crate) fn tries(&self, attempt: &[&str]) -> Outcome {
        let output = self.start(attempt).wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        match (output.status.signal(), output.status.code()) {
            (Some(signal), _) => Outcome::Killed(signal),
            (None, Some(code)) if said.is_empty() => Outcome::Exited(code),
            _ => match said
                .trim_end()
                .split_once(' ')
                .unwrap_or((said.trim_end(), ""))
            {
                ("refused", errno) => Outcome::Refused(errno.parse().unwrap()),
                ("no-jail", reason) => Outcome::NoJail(reason.to_owned()),
                ("worked", rest) => Outcome::Worked(rest.to_owned()),
                _ => panic!("the prisoner said {said:?}"),
            },
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

/// The first line that a prisoner says.
pub(crate) fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    line.trim_end().to_owned()
}

/// True when the tests run as root, who can be jailed in more ways.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// This program where every user may run it.
fn own_copy() -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    static COPY: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    COPY.get_or_init(|| {
        let directory =
            std::env::temp_dir().join(format!("bulkhead-jail-test-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).unwrap();
        let copy = directory.join("escape");
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        copy
    })
    .clone()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--prisoner") {
        return prisoner::main(&arguments[1..]);
    }
    let tests = whole::TESTS.iter().chain(alone::TESTS);
    if arguments.iter().any(|argument| argument == "--list") {
        tests.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let chosen: Vec<_> = tests
        .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str())))
        .collect();
    let mut failed = 0;
    for (name, test) in &chosen {
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    let _ = std::fs::remove_dir_all(own_copy().parent().unwrap());
    println!("\n{} passed; {failed} failed", chosen.len() - failed);
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
