//! What can go wrong with a guest image, in sentences for the person who must act.

use std::io;
use std::path::{Path, PathBuf};

use crate::{ManifestProblem, Sha256};

/// Why an image could not be built, opened, verified, imported or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory did not work.
    #[error("{}: cannot {action}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest is not one.
    #[error("{}: not a guest image's manifest", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        source: ManifestProblem,
    },
    /// A file of an image is a link, a directory or something stranger.
    #[error("{}: an image's files must be plain files, and this is none", path.display())]
    NotAPlainFile {
        /// The path.
        path: PathBuf,
    },
    /// A file's size is not the manifest's.
    #[error("{}: is {found} bytes, but its manifest says {expected}: the image is damaged, import or build it again", path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// The manifest's size.
        expected: u64,
        /// The file's size.
        found: u64,
    },
    /// A file's digest is not the manifest's.
    #[error("{}: its sha256 is {found}, but its manifest says {expected}: the image is damaged or was changed, import or build it again", path.display())]
    WrongDigest {
        /// The file.
        path: PathBuf,
        /// The manifest's digest.
        expected: Sha256,
        /// The file's digest.
        found: Sha256,
    },
    /// An image's identity is not the one asked for.
    #[error("{}: this image is {found}, not {expected}", path.display())]
    WrongIdentity {
        /// The image's directory.
        path: PathBuf,
        /// The identity asked for.
        expected: Sha256,
        /// The identity found.
        found: Sha256,
    },
    /// No image of that name or hash is in the store.
    #[error("no image `{wanted}` in {}: `bulkhead image list` shows what is there, `bulkhead image build` or `import` adds one", store.display())]
    NotFound {
        /// Name or hash asked for.
        wanted: String,
        /// The store.
        store: PathBuf,
    },
    /// Several images answer to a name.
    #[error("`{wanted}` could be any of these images, name one by its hash: {}", candidates.join(", "))]
    Ambiguous {
        /// Name or hash asked for.
        wanted: String,
        /// The hashes of those that fit.
        candidates: Vec<String>,
    },
    /// The machine's apt sources name no Debian archive.
    #[error(
        "found no Debian archive among this machine's apt sources ({looked_at}): name a mirror with --mirror"
    )]
    NoDebianArchive {
        /// Where it was looked for.
        looked_at: String,
    },
    /// Debian's keys are not on this machine.
    #[error("Debian's archive keys are not on this machine ({}): apt-get install debian-archive-keyring", path.display())]
    NoArchiveKeys {
        /// Where they should be.
        path: PathBuf,
    },
    /// A program that the build calls could not be started.
    #[error("cannot start `{program}`: install the package that has it ({package})")]
    NoProgram {
        /// The program.
        program: String,
        /// Its Debian package.
        package: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A program that the build calls failed.
    #[error("{purpose}: `{program}` failed ({status}){}", said(output))]
    ProgramFailed {
        /// What it was for.
        purpose: String,
        /// The program.
        program: String,
        /// How it ended.
        status: String,
        /// The last lines it printed.
        output: String,
    },
    /// A package or file that the recipe counts on is not there.
    #[error("{what}: the packages of this Debian suite do not fit the image recipe any more")]
    Recipe {
        /// What is missing.
        what: String,
    },
    /// The watcher asked to stop.
    #[error("the build was cancelled")]
    Cancelled,
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

fn said(output: &str) -> String {
    if output.is_empty() {
        String::new()
    } else {
        format!(":\n{output}")
    }
}
