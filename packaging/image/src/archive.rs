//! One architecture's view of the Debian archive: a private apt that shares nothing with the host's packages.
//!
//! apt does what it is good at: it checks signatures, resolves dependencies, fetches and verifies. Its state lives in the build's
//! cache. Of the host's configuration only the ways to reach the network (proxies, credentials) are taken over.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::process::Program;
use crate::sources::Archive;
use crate::{Error, Package, Progress, Step};

/// Debian's keys on the host, in the order of preference.
const KEYS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
];

/// What the archive calls the suite besides, as long as it is Debian's present release.
const OTHER_NAME: &str = "stable";

/// A private apt for one architecture.
pub(crate) struct Apt {
    home: PathBuf,
    architecture: String,
    suite: &'static str,
    archive: Archive,
    keys: PathBuf,
}

/// A package that was fetched and verified.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fetched {
    pub(crate) package: Package,
    pub(crate) path: PathBuf,
}

/// A set of packages as apt resolved it.
pub(crate) struct Plan {
    packages: Vec<(Package, String)>,
    bytes: u64,
}

impl Apt {
    /// Prepares a private apt below `cache`.
    pub(crate) fn new(
        cache: &Path,
        architecture: &str,
        suite: &'static str,
        archive: &Archive,
        left_out: &[&str],
    ) -> Result<Self, Error> {
        let keys = KEYS
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .ok_or_else(|| Error::NoArchiveKeys {
                path: PathBuf::from(KEYS[1]),
            })?;
        let apt = Self {
            home: cache.join(format!("apt-{architecture}")),
            architecture: architecture.to_owned(),
            suite,
            archive: archive.clone(),
            keys,
        };
        for directory in ["lists/partial", "archives/partial", "nothing/partial"] {
            let path = apt.home.join(directory);
            fs::create_dir_all(&path).map_err(Error::file("create", &path))?;
        }
        apt.write("status", &apt.status(left_out))?;
        let configuration = apt.configuration()?;
        apt.write("apt.conf", &configuration)?;
        Ok(apt)
    }

    /// Fetches the package lists, unless those at hand are younger than `age` and for the same archive. Old lists do when the
    /// archive cannot be reached, and the main archive alone when that of security updates is out of order. Where there are no
    /// lists yet, those by the suite's other name do too: a mirror at work may have files of two days under one name.
    pub(crate) fn update(&self, age: Duration, progress: &mut dyn Progress) -> Result<(), Error> {
        // Holds the sources as they were wanted; `sources.list` holds them as they worked.
        let stamp = self.home.join("updated");
        let wanted = self.sources(self.suite, true);
        let same_archive = fs::read_to_string(&stamp).is_ok_and(|text| text == wanted);
        let young = fs::metadata(&stamp)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|time| {
                SystemTime::now()
                    .duration_since(time)
                    .is_ok_and(|passed| passed < age)
            });
        if same_archive && young {
            return Ok(());
        }
        let worked = fs::read_to_string(self.home.join("sources.list"));
        match (self.fetch_lists_of(self.suite, progress), worked) {
            (Ok(()), _) => self.write("updated", &wanted),
            (Err(Error::ProgramFailed { .. }), Ok(worked)) if same_archive => {
                progress.note("the Debian archive cannot be reached; the package lists of the last build are used");
                self.write("sources.list", &worked)
            }
            (Err(error @ Error::ProgramFailed { .. }), _) => {
                if self.fetch_lists_of(OTHER_NAME, progress).is_err() || !self.is_suite() {
                    return Err(error);
                }
                progress.note(&format!(
                    "the archive's lists of {} do not belong together; those of {OTHER_NAME}, which is the same, are used",
                    self.suite
                ));
                self.write("updated", &wanted)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// With security updates if they can be had.
    fn fetch_lists_of(&self, suite: &str, progress: &mut dyn Progress) -> Result<(), Error> {
        let mut result = self.fetch_lists(&self.sources(suite, true), progress);
        if let Err(Error::ProgramFailed { output, .. }) = &result
            && self.archive.security.is_some()
        {
            let reason = output.clone();
            result = self.fetch_lists(&self.sources(suite, false), progress);
            if result.is_ok() {
                progress.note(&format!(
                    "the archive of security updates does not work, so that the image has none since the suite's last point \
                     release: {reason}"
                ));
            }
        }
        result
    }

    /// Whether what was fetched says that it is of the suite: its other name is another suite's after the next release.
    fn is_suite(&self) -> bool {
        let lists = fs::read_dir(self.home.join("lists"));
        let releases = lists.into_iter().flatten().flatten().filter(|entry| {
            let name = entry.file_name();
            name.to_string_lossy().ends_with("_InRelease")
        });
        let mut texts = releases.map(|entry| fs::read_to_string(entry.path()));
        let names = ["", "-security"].map(|part| format!("Codename: {}{part}", self.suite));
        let mut found = false;
        let all = texts.all(|text| {
            found = true;
            text.is_ok_and(|text| {
                text.lines()
                    .any(|line| names.iter().any(|name| name == line))
            })
        });
        found && all
    }

    fn fetch_lists(&self, sources: &str, progress: &mut dyn Progress) -> Result<(), Error> {
        self.write("sources.list", sources)?;
        self.apt_get("fetching package lists")
            .args(["update", "--error-on=any"])
            .run(progress, |_| {})
            .map(drop)
    }

    /// Asks apt what `wanted` needs.
    pub(crate) fn plan(&self, wanted: &[&str], progress: &mut dyn Progress) -> Result<Plan, Error> {
        let output = self
            .apt_get("resolving packages")
            .args(["install", "--print-uris", "--yes", "-qq", "--option"])
            // apt leaves out of its answer what is at hand: it looks for it where nothing ever is.
            .arg(format!(
                "Dir::Cache::archives={}/nothing",
                quoted(&self.home)?
            ))
            .args(wanted)
            .run(progress, |_| {})?;
        let text = String::from_utf8_lossy(&output);
        let mut packages = Vec::new();
        let mut bytes = 0u64;
        for line in text.lines().filter(|line| line.starts_with('\'')) {
            let (package, file, size) = parse_uri_line(line).ok_or_else(|| Error::Recipe {
                what: format!("apt's answer `{}` is not understood", line.escape_debug()),
            })?;
            bytes = bytes.saturating_add(size);
            packages.push((package, file));
        }
        packages.sort();
        Ok(Plan { packages, bytes })
    }

    /// Fetches a plan's packages; those at hand are not fetched again.
    pub(crate) fn fetch(
        &self,
        wanted: &[&str],
        plan: &Plan,
        before: u64,
        total: u64,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Fetched>, Error> {
        let archives = self.home.join("archives");
        self.apt_get("fetching packages")
            .args(["install", "--download-only", "--yes", "-qq"])
            .args(wanted)
            .run(progress, |progress| {
                let done = plan.bytes_at_hand(&archives);
                progress.update(
                    Step::Packages,
                    before.saturating_add(done).min(total),
                    total,
                );
            })?;
        plan.packages
            .iter()
            .map(|(package, file)| {
                let path = archives.join(file);
                if path.is_file() {
                    Ok(Fetched {
                        package: package.clone(),
                        path,
                    })
                } else {
                    Err(Error::Recipe {
                        what: format!("apt fetched no file {file}"),
                    })
                }
            })
            .collect()
    }

    fn apt_get(&self, purpose: &str) -> Program {
        Program::new("apt-get", "apt", purpose).env("APT_CONFIG", self.home.join("apt.conf"))
    }

    fn sources(&self, suite: &str, with_security: bool) -> String {
        let options = format!(
            "[arch={} signed-by={}]",
            self.architecture,
            self.keys.display()
        );
        let mut text = format!("deb {options} {} {suite} main\n", self.archive.main);
        if let Some(security) = self.archive.security.as_ref().filter(|_| with_security) {
            let _ = writeln!(text, "deb {options} {security} {suite}-security main");
        }
        text
    }

    /// A list of installed packages that are not: each left-out package at a version that satisfies everyone.
    fn status(&self, left_out: &[&str]) -> String {
        let mut text = String::new();
        for name in left_out {
            let _ = write!(
                text,
                "Package: {name}\nStatus: install ok installed\nMaintainer: none\nArchitecture: {}\nMulti-Arch: foreign\n\
                 Version: 99999:0\nDescription: left out\n\n",
                self.architecture
            );
        }
        text
    }

    fn configuration(&self) -> Result<String, Error> {
        let home = quoted(&self.home)?;
        let mut text = String::new();
        let dump = Program::new("apt-config", "apt", "reading the host's apt configuration")
            .arg("dump")
            .run_silently()?;
        for line in String::from_utf8_lossy(&dump).lines() {
            let reaching = [
                "Acquire::http",
                "Acquire::https",
                "Acquire::ftp",
                "Acquire::Retries",
            ];
            if reaching.iter().any(|prefix| line.starts_with(prefix)) && line.ends_with("\";") {
                let _ = writeln!(text, "{line}");
            }
        }
        let _ = write!(
            text,
            "APT::Architecture \"{architecture}\";\n\
             APT::Architectures {{ \"{architecture}\"; }};\n\
             APT::Install-Recommends \"false\";\n\
             APT::Install-Suggests \"false\";\n\
             APT::Sandbox::User \"\";\n\
             APT::Get::AllowUnauthenticated \"false\";\n\
             APT::Get::List-Cleanup \"false\";\n\
             APT::Keep-Downloaded-Packages \"true\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::AllowInsecureRepositories \"false\";\n\
             Dir::State \"{home}\";\n\
             Dir::State::lists \"{home}/lists\";\n\
             Dir::State::status \"{home}/status\";\n\
             Dir::State::extended_states \"{home}/extended_states\";\n\
             Dir::Cache \"{home}\";\n\
             Dir::Cache::archives \"{home}/archives\";\n\
             Dir::Etc::SourceList \"{home}/sources.list\";\n\
             Dir::Etc::SourceParts \"/dev/null\";\n\
             Dir::Etc::Preferences \"/dev/null\";\n\
             Dir::Etc::PreferencesParts \"/dev/null\";\n\
             Dir::Etc::Parts \"/dev/null\";\n\
             Dir::Log \"{home}\";\n",
            architecture = self.architecture,
        );
        Ok(text)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.home.join(name);
        fs::write(&path, text).map_err(Error::file("write", &path))
    }
}

impl Plan {
    /// Bytes of all packages.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The packages, by name.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().map(|(package, _)| package)
    }

    fn bytes_at_hand(&self, archives: &Path) -> u64 {
        self.packages
            .iter()
            .flat_map(|(_, file)| [archives.join(file), archives.join("partial").join(file)])
            .filter_map(|path| fs::metadata(path).ok())
            .fold(0, |sum, metadata| sum.saturating_add(metadata.len()))
    }
}

/// A path in a quoted string of apt's configuration.
fn quoted(path: &Path) -> Result<&str, Error> {
    path.to_str()
        .filter(|text| path.is_absolute() && !text.contains(['"', '\\', '\n']))
        .ok_or_else(|| Error::File {
            action: "use as a build cache",
            path: path.to_path_buf(),
            source: std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "its path must be plain text without quotes",
            ),
        })
}

/// A line of `--print-uris`: `'URI' name_version_architecture.deb size digest`. The version's colon is written `%3a`.
fn parse_uri_line(line: &str) -> Option<(Package, String, u64)> {
    let (_, rest) = line.strip_prefix('\'')?.split_once('\'')?;
    let mut words = rest.split_whitespace();
    let (file, size) = (words.next()?, words.next()?);
    let mut parts = file.strip_suffix(".deb")?.split('_');
    let (name, version, _architecture) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || file.contains('/') {
        return None;
    }
    let package = Package::new(name, &version.replace("%3a", ":")).ok()?;
    Some((package, file.to_owned(), size.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apts_answers_are_understood() {
        let line = "'http://mirror.example/pool/libs/libstdc++6_14.2.0-19_riscv64.deb' libstdc++6_1%3a14.2.0-19_riscv64.deb 714000 SHA256:00";
        assert_eq!(
            parse_uri_line(line),
            Some((
                Package::new("libstdc++6", "1:14.2.0-19").expect("valid"),
                "libstdc++6_1%3a14.2.0-19_riscv64.deb".to_owned(),
                714_000
            ))
        );
        for bad in [
            "",
            "'x'",
            "'x' a_1_all.deb",
            "'x' a_1.deb 5 h",
            "'x' a_1_2_3.deb 5 h",
            "'x' ../a_1_all.deb 5 h",
            "'x' a_1_all.deb -5 h",
        ] {
            assert_eq!(parse_uri_line(bad), None, "{bad}");
        }
    }

    #[test]
    fn another_release_is_not_taken_for_the_suite() {
        let cache = tempfile::tempdir().expect("temporary directory");
        let archive = Archive {
            main: "http://mirror.example/debian".to_owned(),
            security: None,
        };
        let apt = Apt::new(cache.path(), "riscv64", "trixie", &archive, &[]).expect("prepares");
        let write = |name: &str, text: &str| {
            apt.write(&format!("lists/{name}"), text).expect("writes");
            apt.is_suite()
        };
        assert!(!apt.is_suite(), "there is nothing");
        assert!(write(
            "x_stable_InRelease",
            "Suite: stable\nCodename: trixie\n"
        ));
        assert!(write(
            "y_stable-security_InRelease",
            "Codename: trixie-security\n"
        ));
        assert!(!write(
            "z_stable_InRelease",
            "Codename: forky\nVersion: 14.0\n"
        ));
    }

    #[test]
    fn the_private_apt_stays_in_its_directory() {
        let cache = tempfile::tempdir().expect("temporary directory");
        let archive = Archive {
            main: "http://mirror.example/debian".to_owned(),
            security: Some("http://mirror.example/security".to_owned()),
        };
        let apt =
            Apt::new(cache.path(), "riscv64", "trixie", &archive, &["udev"]).expect("prepares");
        let sources = apt.sources("trixie", true);
        assert!(
            sources.lines().all(|line| line.contains("signed-by=")),
            "{sources}"
        );
        assert!(
            sources.contains("http://mirror.example/security trixie-security main"),
            "{sources}"
        );
        let dump = Program::new("apt-config", "apt", "testing")
            .env("APT_CONFIG", apt.home.join("apt.conf"))
            .arg("dump")
            .run_silently()
            .expect("apt reads it");
        let dump = String::from_utf8_lossy(&dump);
        let home = cache.path().join("apt-riscv64");
        for key in [
            "Dir::State",
            "Dir::Cache",
            "Dir::Etc::SourceList",
            "Dir::State::status",
        ] {
            let prefix = format!("{key} \"{}", home.display());
            assert!(
                dump.lines()
                    .any(|line| line.to_lowercase().starts_with(&prefix.to_lowercase())),
                "{key}"
            );
        }
        assert!(
            !dump.contains("Post-Invoke"),
            "the host's hooks are not ours"
        );
    }
}
