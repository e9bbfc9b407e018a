//! Programs that the build calls: run with a plain environment, watched for cancellation, their last words kept for the error.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Error, Progress};

/// How long a program runs between two looks at it.
const POLL: Duration = Duration::from_millis(40);
/// How much of a failed program's output goes into the error.
const LAST_WORDS: usize = 1500;

/// A program to run, and why.
pub(crate) struct Program {
    name: String,
    package: &'static str,
    purpose: String,
    command: Command,
}

impl Program {
    /// `package` is the Debian package that has it; `purpose` begins the sentence if it fails.
    pub(crate) fn new(
        name: impl AsRef<OsStr>,
        package: &'static str,
        purpose: impl Into<String>,
    ) -> Self {
        let mut command = Command::new(&name);
        // Only what programs need to find each other and the network: a caller's locale or library path must not shape an image.
        command.env_clear();
        for kept in [
            "PATH",
            "HOME",
            "TMPDIR",
            "http_proxy",
            "https_proxy",
            "no_proxy",
            "ftp_proxy",
        ] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.stdin(Stdio::null());
        Self {
            name: Path::new(name.as_ref())
                .file_name()
                .unwrap_or(name.as_ref())
                .to_string_lossy()
                .into_owned(),
            package,
            purpose: purpose.into(),
            command,
        }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn args<T: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn stdin(mut self, input: impl Into<Stdio>) -> Self {
        self.command.stdin(input);
        self
    }

    /// Runs it to its end; `watch` is called a few times a second while it runs. Its output is what it printed on standard output.
    pub(crate) fn run(
        mut self,
        progress: &mut dyn Progress,
        mut watch: impl FnMut(&mut dyn Progress),
    ) -> Result<Vec<u8>, Error> {
        let output = anonymous_file()?;
        let errors = anonymous_file()?;
        self.command.stdout(share(&output)?).stderr(share(&errors)?);
        let mut child = Killed(self.spawn()?);
        loop {
            let ended = child
                .0
                .try_wait()
                .map_err(|source| self.cannot_start(source))?;
            if let Some(status) = ended {
                let text = contents(&output)?;
                if status.success() {
                    return Ok(text);
                }
                return Err(self.failed(&status.to_string(), &text, &contents(&errors)?));
            }
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            watch(progress);
            std::thread::sleep(POLL);
        }
    }

    /// Runs it to its end, on a thread that has no progress to tell.
    pub(crate) fn run_silently(mut self) -> Result<Vec<u8>, Error> {
        let output = anonymous_file()?;
        let errors = anonymous_file()?;
        self.command.stdout(share(&output)?).stderr(share(&errors)?);
        let status = Killed(self.spawn()?)
            .0
            .wait()
            .map_err(|source| self.cannot_start(source))?;
        let text = contents(&output)?;
        if status.success() {
            Ok(text)
        } else {
            Err(self.failed(&status.to_string(), &text, &contents(&errors)?))
        }
    }

    /// Runs it with its output in a pipe into `next`.
    pub(crate) fn pipe_into(mut self, next: Self) -> Result<(), Error> {
        let errors = anonymous_file()?;
        self.command.stdout(Stdio::piped()).stderr(share(&errors)?);
        let mut child = Killed(self.spawn()?);
        let pipe = child.0.stdout.take();
        let next = next.stdin(pipe.map_or_else(Stdio::null, Stdio::from));
        let consumed = next.run_silently();
        let status = child.0.wait().map_err(|source| self.cannot_start(source))?;
        if !status.success() {
            return Err(self.failed(&status.to_string(), &[], &contents(&errors)?));
        }
        consumed.map(drop)
    }

    fn spawn(&mut self) -> Result<Child, Error> {
        self.command
            .spawn()
            .map_err(|source| self.cannot_start(source))
    }

    fn cannot_start(&self, source: std::io::Error) -> Error {
        Error::NoProgram {
            program: self.name.clone(),
            package: self.package,
            source,
        }
    }

    fn failed(&self, status: &str, output: &[u8], errors: &[u8]) -> Error {
        let words = if errors.iter().all(u8::is_ascii_whitespace) {
            output
        } else {
            errors
        };
        let tail = words
            .get(words.len().saturating_sub(LAST_WORDS)..)
            .unwrap_or(words);
        Error::ProgramFailed {
            purpose: self.purpose.clone(),
            program: self.name.clone(),
            status: status.to_owned(),
            output: String::from_utf8_lossy(tail).trim().to_owned(),
        }
    }
}

/// A child that does not outlive its owner's interest.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail harmlessly on a child that was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Output goes to memory that no pipe's size bounds, so that nobody must read while the program runs.
fn anonymous_file() -> Result<File, Error> {
    rustix::fs::memfd_create("output", rustix::fs::MemfdFlags::CLOEXEC)
        .map(File::from)
        .map_err(|error| Error::file("create", Path::new("a memory file"))(error.into()))
}

fn share(file: &File) -> Result<File, Error> {
    file.try_clone()
        .map_err(Error::file("share", Path::new("a memory file")))
}

fn contents(mut file: &File) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.read_to_end(&mut bytes))
        .map_err(Error::file("read", Path::new("a memory file")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Silent, Step};

    fn shell(script: &str) -> Program {
        Program::new("sh", "dash", "testing").args(["-c", script])
    }

    #[test]
    fn output_comes_back_and_failure_tells_last_words() {
        let output = shell("echo fine").run(&mut Silent, |_| {}).expect("runs");
        assert_eq!(output, b"fine\n");
        let error = shell("echo no such host >&2; exit 3")
            .run(&mut Silent, |_| {})
            .expect_err("fails");
        let text = error.to_string();
        assert!(
            text.contains("testing: `sh` failed") && text.ends_with("no such host"),
            "{text}"
        );
        let error = Program::new("no-such-program", "nowhere", "testing")
            .run_silently()
            .expect_err("is not there");
        assert!(
            error
                .to_string()
                .contains("install the package that has it (nowhere)"),
            "{error}"
        );
    }

    #[test]
    fn either_end_of_a_pipe_can_fail() {
        shell("echo x")
            .pipe_into(shell("grep -q x"))
            .expect("matches");
        assert!(shell("exit 1").pipe_into(shell("cat")).is_err());
        assert!(shell("echo x").pipe_into(shell("exit 1")).is_err());
    }

    #[test]
    fn a_cancelled_program_is_ended() {
        struct Impatient;
        impl Progress for Impatient {
            fn update(&mut self, _step: Step, _done: u64, _total: u64) {}
            fn cancelled(&self) -> bool {
                true
            }
        }
        let result = shell("exec sleep 600").run(&mut Impatient, |_| {});
        assert!(matches!(result, Err(Error::Cancelled)));
    }
}
