//! The Debian archive as this machine knows it: its apt sources are read, so that no mirror's address is written anywhere else.
//!
//! Both forms are understood: one-line `.list` files and deb822 `.sources` files. What a source names is only a candidate; apt
//! checks the archive's signature against Debian's own keys afterwards.

use std::fs;
use std::path::Path;

use crate::Error;

/// Debian's suites that a machine's main archive entry may name.
const RELEASES: [&str; 11] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "stable",
    "oldstable",
    "testing",
    "unstable",
];

/// Where packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Archive {
    /// Address of the main archive.
    pub(crate) main: String,
    /// Address of the archive of security updates, where the machine has one.
    pub(crate) security: Option<String>,
}

/// One binary-package source of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
    components: Vec<String>,
    debian_keys: bool,
}

/// Finds the Debian archive in the apt sources below `etc_apt` (`/etc/apt`).
pub(crate) fn find_archive(etc_apt: &Path) -> Result<Archive, Error> {
    let mut paths = vec![etc_apt.join("sources.list")];
    if let Ok(listing) = fs::read_dir(etc_apt.join("sources.list.d")) {
        let mut more: Vec<_> = listing.flatten().map(|item| item.path()).collect();
        more.sort();
        paths.extend(more);
    }
    let mut sources = Vec::new();
    for path in &paths {
        let parse = match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => parse_list,
            Some("sources") => parse_deb822,
            _ => continue,
        };
        if let Ok(text) = fs::read_to_string(path) {
            sources.extend(parse(&text));
        }
    }
    choose(&sources).ok_or_else(|| Error::NoDebianArchive {
        looked_at: format!("{0}/sources.list, {0}/sources.list.d", etc_apt.display()),
    })
}

/// The best main entry, and the first security entry.
fn choose(sources: &[Source]) -> Option<Archive> {
    let with_main = |source: &&Source| {
        source
            .components
            .iter()
            .any(|component| component == "main")
    };
    let main = sources
        .iter()
        .filter(with_main)
        .filter(|source| RELEASES.contains(&source.suite.as_str()))
        // A foreign archive may use a Debian suite's name: one that is checked with Debian's keys comes first.
        // max_by_key takes the last of equals, and files are read in order, hence the reversal.
        .rev()
        .max_by_key(|source| source.debian_keys)?;
    let security = sources.iter().filter(with_main).find(|source| {
        let release = source
            .suite
            .strip_suffix("-security")
            .or_else(|| source.suite.strip_suffix("/updates"));
        release.is_some_and(|release| RELEASES.contains(&release))
            && source.debian_keys >= main.debian_keys
    });
    Some(Archive {
        main: main.uri.clone(),
        security: security.map(|source| source.uri.clone()),
    })
}

/// One-line form: `deb [option=value ...] uri suite component ...`.
fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_list_line).collect()
}

fn parse_list_line(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let keys = options
        .split_whitespace()
        .find_map(|option| option.strip_prefix("signed-by="));
    Some(Source {
        uri: plausible(uri)?,
        suite: suite.trim_end_matches('/').to_owned(),
        components: words.map(str::to_owned).collect(),
        debian_keys: keys.is_none_or(are_debian_keys),
    })
}

/// Stanza form: `Types`, `URIs`, `Suites`, `Components`, `Signed-By`, `Enabled`; continuation lines start with a blank.
fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut stanza: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            sources.extend(stanza_sources(&stanza));
            stanza.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            stanza.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    sources
}

fn stanza_sources(stanza: &[(String, String)]) -> Vec<Source> {
    let field = |wanted: &str| {
        stanza
            .iter()
            .find(|(key, _)| key == wanted)
            .map_or("", |(_, value)| value.as_str())
    };
    let words = |wanted: &str| field(wanted).split_whitespace().collect::<Vec<_>>();
    let enabled = !matches!(
        field("enabled").to_ascii_lowercase().as_str(),
        "no" | "false" | "0" | "off"
    );
    if !enabled || !words("types").contains(&"deb") {
        return Vec::new();
    }
    let keys = field("signed-by");
    // Of several addresses of one archive the first does.
    let Some(uri) = words("uris").into_iter().find_map(plausible) else {
        return Vec::new();
    };
    words("suites")
        .into_iter()
        .map(|suite| Source {
            uri: uri.clone(),
            suite: suite.trim_end_matches('/').to_owned(),
            components: words("components").into_iter().map(str::to_owned).collect(),
            debian_keys: keys.is_empty() || are_debian_keys(keys),
        })
        .collect()
}

fn are_debian_keys(signed_by: &str) -> bool {
    signed_by.contains("debian-archive-")
}

/// An address that can stand in an apt source line of ours without meaning anything else there.
pub(crate) fn plausible(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    let good = !rest.is_empty()
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && uri.chars().all(|character| {
            character.is_ascii_graphic() && !matches!(character, '[' | ']' | '"' | '#')
        });
    good.then(|| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(main: &str, security: Option<&str>) -> Archive {
        Archive {
            main: main.to_owned(),
            security: security.map(str::to_owned),
        }
    }

    #[test]
    fn one_line_sources_are_read() {
        let text = "\
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/other.gpg] https://vendor.example/apt bookworm main
deb\thttp://mirror.example/debian/ bookworm main contrib # the near one
deb http://mirror.example/security bookworm-security main
debian nonsense
deb http://short.example
deb [broken http://x.example bookworm main
";
        let sources = parse_list(text);
        assert_eq!(sources.len(), 3, "{sources:?}");
        assert_eq!(
            choose(&sources),
            Some(archive(
                "http://mirror.example/debian/",
                Some("http://mirror.example/security")
            ))
        );
    }

    #[test]
    fn stanza_sources_are_read() {
        let text = "\
# See sources.list(5)
Types: deb deb-src
URIs: http://mirror.example/debian
 http://second.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
uris: http://mirror.example/debian-security
suites: bookworm-security
components: main
signed-by: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: trixie
Components: main
";
        let sources = parse_deb822(text);
        assert_eq!(sources.len(), 3, "{sources:?}");
        assert_eq!(
            choose(&sources),
            Some(archive(
                "http://mirror.example/debian",
                Some("http://mirror.example/debian-security")
            ))
        );
    }

    #[test]
    fn foreign_archives_do_not_win() {
        let vendor = parse_deb822(
            "Types: deb\nURIs: https://vendor.example/apt\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n xyz\n",
        );
        let debian = parse_list("deb http://mirror.example/debian trixie main");
        let both = [vendor.clone(), debian].concat();
        assert_eq!(
            choose(&both),
            Some(archive("http://mirror.example/debian", None))
        );
        // Alone it is tried: its signature will tell.
        assert_eq!(
            choose(&vendor),
            Some(archive("https://vendor.example/apt", None))
        );
        let none = parse_list(
            "deb http://vendor.example/apt nodistro main\ndeb http://x.example bookworm contrib",
        );
        assert_eq!(choose(&none), None);
    }

    #[test]
    fn addresses_cannot_carry_options() {
        for bad in [
            "",
            "http:",
            "no-scheme",
            "http://a b",
            "[trusted=yes]",
            "http://x.example/[a]",
            "http://x.example/\"",
            "http://ä.example",
        ] {
            assert_eq!(plausible(bad), None, "{bad}");
        }
        for good in [
            "http://x.example:3142/debian/",
            "mirror+file:/etc/apt/mirrors/debian.list",
            "file:/srv/debian",
        ] {
            assert_eq!(plausible(good).as_deref(), Some(good));
        }
    }

    #[test]
    fn files_of_both_forms_are_found_and_others_left_alone() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let parts = directory.path().join("sources.list.d");
        fs::create_dir(&parts).expect("creates");
        assert!(matches!(
            find_archive(directory.path()),
            Err(Error::NoDebianArchive { .. })
        ));
        fs::write(
            parts.join("a.list.save"),
            "deb http://old.example/debian bookworm main\n",
        )
        .expect("writes");
        fs::write(
            parts.join("debian.sources"),
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n",
        )
        .expect("writes");
        assert_eq!(
            find_archive(directory.path()).expect("found"),
            archive("http://mirror.example/debian", None)
        );
    }
}
