//! The manifest of an image: parsed from hostile bytes into a value that cannot be wrong, and written in one canonical form.
//!
//! Format 1 (TOML, at most 1 MiB): `format`, `architecture`, `name`, `recipe` (sha256 of everything but the packages that shaped the
//! image), `arguments` (for the kernel's command line, put before the zone's own), exactly one `[[file]]` (`name`, `size`, `sha256`) for each of [`FileName::ALL`], and any number of `[[package]]` (`name`,
//! `version`). Unknown keys, other file names, duplicates and sizes above the limits are errors.

use std::fmt::{self, Write as _};

use serde::Deserialize;

use crate::Sha256;

/// A manifest's own size limit in bytes.
pub(crate) const MANIFEST_LIMIT: u64 = 1 << 20;
const FORMAT: i64 = 1;
const PACKAGES_LIMIT: usize = 4096;

/// What an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Architecture {
    /// 64-bit RISC-V, RV64GC.
    Riscv64,
}

impl Architecture {
    /// Debian's name of it.
    pub const fn debian_name(self) -> &'static str {
        match self {
            Self::Riscv64 => "riscv64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.debian_name())
    }
}

/// The files of an image besides its manifest. A name is one of these, so that no manifest can name another path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileName {
    /// The kernel, an uncompressed boot image.
    Kernel,
    /// The first root file system: drivers and what finds the second.
    Initramfs,
    /// The root file system.
    Root,
}

impl FileName {
    /// Every file of an image, in the manifest's order.
    pub const ALL: [Self; 3] = [Self::Kernel, Self::Initramfs, Self::Root];

    /// Its name in the image's directory.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Initramfs => "initramfs",
            Self::Root => "root.squashfs",
        }
    }

    /// The most bytes it may have: what a zone's memory or a host's disk can be asked to hold.
    pub const fn size_limit(self) -> u64 {
        match self {
            Self::Kernel | Self::Initramfs => 256 << 20,
            Self::Root => 16 << 30,
        }
    }
}

/// One file of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileEntry {
    /// Size in bytes, within [`FileName::size_limit`].
    pub size: u64,
    /// Digest of its bytes.
    pub sha256: Sha256,
}

/// A package in an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    name: String,
    version: String,
}

impl Package {
    /// A package by Debian's rules for names and versions.
    pub fn new(name: &str, version: &str) -> Result<Self, ManifestProblem> {
        let good_name = (2..=128).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && name
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'));
        let good_version = (1..=128).contains(&version.len())
            && version.bytes().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-' | b'~' | b':')
            });
        if good_name && good_version {
            Ok(Self {
                name: name.to_owned(),
                version: version.to_owned(),
            })
        } else {
            Err(ManifestProblem::BadPackage {
                name: excerpt(name),
                version: excerpt(version),
            })
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// A manifest that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub(crate) architecture: Architecture,
    pub(crate) name: String,
    pub(crate) recipe: Sha256,
    pub(crate) arguments: String,
    pub(crate) files: [FileEntry; 3],
    pub(crate) packages: Vec<Package>,
}

impl Manifest {
    /// Parses and checks a manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestProblem> {
        if bytes.len() as u64 > MANIFEST_LIMIT {
            return Err(ManifestProblem::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ManifestProblem::NotText)?;
        let raw: RawManifest =
            toml::from_str(text).map_err(|error| ManifestProblem::syntax(text, &error))?;
        if raw.format != FORMAT {
            return Err(ManifestProblem::OtherFormat(raw.format));
        }
        let architecture = match raw.architecture.as_str() {
            "riscv64" => Architecture::Riscv64,
            other => return Err(ManifestProblem::OtherArchitecture(excerpt(other))),
        };
        if !valid_name(&raw.name) {
            return Err(ManifestProblem::BadName(excerpt(&raw.name)));
        }
        if !valid_arguments(&raw.arguments) {
            return Err(ManifestProblem::BadArguments(excerpt(&raw.arguments)));
        }
        if raw.package.len() > PACKAGES_LIMIT {
            return Err(ManifestProblem::TooManyPackages);
        }
        let mut packages = raw
            .package
            .iter()
            .map(|package| Package::new(&package.name, &package.version))
            .collect::<Result<Vec<_>, _>>()?;
        packages.sort();
        for pair in packages.windows(2) {
            if let [one, two] = pair
                && one.name == two.name
            {
                return Err(ManifestProblem::Duplicate(one.name.clone()));
            }
        }
        Ok(Self {
            architecture,
            name: raw.name,
            recipe: parse_digest(&raw.recipe)?,
            arguments: raw.arguments,
            files: parse_files(&raw.file)?,
            packages,
        })
    }

    /// The one text of this manifest: equal manifests give equal bytes.
    pub fn to_toml(&self) -> String {
        let mut text = format!(
            "format = {FORMAT}\narchitecture = \"{}\"\nname = \"{}\"\nrecipe = \"{}\"\narguments = \"{}\"\n",
            self.architecture, self.name, self.recipe, self.arguments
        );
        for (name, file) in FileName::ALL.iter().zip(&self.files) {
            let _ = write!(
                text,
                "\n[[file]]\nname = \"{}\"\nsize = {}\nsha256 = \"{}\"\n",
                name.as_str(),
                file.size,
                file.sha256
            );
        }
        for package in &self.packages {
            let _ = write!(
                text,
                "\n[[package]]\nname = \"{}\"\nversion = \"{}\"\n",
                package.name, package.version
            );
        }
        text
    }

    /// What the image is for.
    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The image's name: 1 to 64 of `a-z`, `0-9`, `-`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Kernel arguments that the image asks for: words of printable ASCII, at most 1024 bytes, none of them `bulkhead.*`.
    pub fn arguments(&self) -> &str {
        &self.arguments
    }

    /// Size and digest of a file.
    pub const fn file(&self, name: FileName) -> FileEntry {
        let [kernel, initramfs, root] = self.files;
        match name {
            FileName::Kernel => kernel,
            FileName::Initramfs => initramfs,
            FileName::Root => root,
        }
    }

    /// The packages in the image, by name.
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// Bytes of all files together.
    pub fn total_size(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.size))
    }
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestProblem {
    /// Above its size limit.
    #[error("it is longer than a manifest may be (1 MiB)")]
    TooLong,
    /// Not UTF-8.
    #[error("it is not text")]
    NotText,
    /// Not TOML, or not of a manifest's shape.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What the parser said.
        message: String,
    },
    /// A format number this version does not know.
    #[error("its format is {0}, and this version knows only format 1")]
    OtherFormat(i64),
    /// An architecture this version does not know.
    #[error("its architecture is `{0}`, and this version knows only riscv64")]
    OtherArchitecture(String),
    /// A name with other letters than allowed.
    #[error("`{0}` is no image name: 1 to 64 of a-z, 0-9 and -, the first no -")]
    BadName(String),
    /// Kernel arguments that could be more than that.
    #[error(
        "`{0}` are no kernel arguments: at most 1024 bytes of printable ASCII without quotes, none of them `bulkhead.`"
    )]
    BadArguments(String),
    /// Not a digest.
    #[error("`{0}` is no sha256: 64 lower-case hex digits")]
    BadDigest(String),
    /// A file that images do not have.
    #[error("an image has no file `{0}`: only kernel, initramfs and root.squashfs")]
    OtherFile(String),
    /// A file that the manifest leaves out.
    #[error("the file `{0}` is missing")]
    MissingFile(&'static str),
    /// Something that is there twice.
    #[error("`{0}` is there twice")]
    Duplicate(String),
    /// A size below 1 or above the file's limit.
    #[error("`{name}` cannot have {size} bytes: 1 to {limit}")]
    BadSize {
        /// The file.
        name: &'static str,
        /// Its size.
        size: i64,
        /// The most it may be.
        limit: u64,
    },
    /// More packages than an image may have.
    #[error("it has more than 4096 packages")]
    TooManyPackages,
    /// A package's name or version is not one.
    #[error("`{name}` version `{version}` is no Debian package")]
    BadPackage {
        /// The name.
        name: String,
        /// The version.
        version: String,
    },
}

impl ManifestProblem {
    fn syntax(text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |span| span.start);
        let before = text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self::Syntax {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            message: excerpt(error.message()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    format: i64,
    architecture: String,
    name: String,
    recipe: String,
    #[serde(default)]
    arguments: String,
    file: Vec<RawFile>,
    #[serde(default)]
    package: Vec<RawPackage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    name: String,
    size: i64,
    sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPackage {
    name: String,
    version: String,
}

fn parse_files(raw: &[RawFile]) -> Result<[FileEntry; 3], ManifestProblem> {
    let mut found = [None; 3];
    for file in raw {
        let Some((slot, name)) = found
            .iter_mut()
            .zip(FileName::ALL)
            .find(|(_, name)| name.as_str() == file.name)
        else {
            return Err(ManifestProblem::OtherFile(excerpt(&file.name)));
        };
        let size = u64::try_from(file.size)
            .ok()
            .filter(|size| (1..=name.size_limit()).contains(size))
            .ok_or(ManifestProblem::BadSize {
                name: name.as_str(),
                size: file.size,
                limit: name.size_limit(),
            })?;
        let sha256 = parse_digest(&file.sha256)?;
        if slot.replace(FileEntry { size, sha256 }).is_some() {
            return Err(ManifestProblem::Duplicate(file.name.clone()));
        }
    }
    let [kernel, initramfs, root] = found;
    let need = |slot: Option<FileEntry>, name: FileName| {
        slot.ok_or(ManifestProblem::MissingFile(name.as_str()))
    };
    Ok([
        need(kernel, FileName::Kernel)?,
        need(initramfs, FileName::Initramfs)?,
        need(root, FileName::Root)?,
    ])
}

fn parse_digest(text: &str) -> Result<Sha256, ManifestProblem> {
    text.parse()
        .map_err(|_| ManifestProblem::BadDigest(excerpt(text)))
}

pub(crate) fn valid_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Quotes would let an argument swallow the next one, and `bulkhead.` arguments are the zone's to give.
fn valid_arguments(arguments: &str) -> bool {
    arguments.len() <= 1024
        && arguments
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
        && !arguments
            .split(' ')
            .any(|word| word.starts_with("bulkhead.") || word == "--")
}

/// A piece of hostile text that is safe to print: printable ASCII, and not much of it.
fn excerpt(text: &str) -> String {
    text.chars()
        .take(80)
        .map(|character| match character {
            ' '..='~' => character,
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests;
