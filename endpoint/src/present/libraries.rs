//! The libraries that a window needs and loads when it opens: which of them are missing, before anything fails for want of them.

use std::path::Path;

/// What the loader found when it last looked through the system, as ld.so(8) keeps it.
const LOADER_CACHE: &str = "/etc/ld.so.cache";

/// A library by its file's name, and the Debian package that has it.
type Library = (&'static str, &'static str);

const X11: &[Library] = &[
    ("libX11.so.6", "libx11-6"),
    ("libX11-xcb.so.1", "libx11-xcb1"),
    ("libXcursor.so.1", "libxcursor1"),
    ("libXi.so.6", "libxi6"),
    ("libxkbcommon.so.0", "libxkbcommon0"),
    ("libxkbcommon-x11.so.0", "libxkbcommon-x11-0"),
];
const WAYLAND: &[Library] = &[
    ("libwayland-client.so.0", "libwayland-client0"),
    ("libxkbcommon.so.0", "libxkbcommon0"),
];

/// No window without these.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("a window needs libraries that are not installed: {}; install them (Debian: apt-get install {}), or run with --headless", names(.0, |(file, _)| *file, ", "), names(.0, |(_, package)| *package, " "))]
pub struct MissingLibraries(Vec<Library>);

fn names(libraries: &[Library], of: fn(&Library) -> &'static str, between: &str) -> String {
    libraries.iter().map(of).collect::<Vec<_>>().join(between)
}

/// Looks for the libraries of the window system that a window would open on. Where the loader keeps no list, or was told of other places,
/// nothing is known to be missing.
///
/// # Errors
/// Those that are missing.
pub fn check() -> Result<(), MissingLibraries> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("LD_LIBRARY_PATH") {
        return Ok(());
    }
    let wanted = match (
        is_set("WAYLAND_DISPLAY") || is_set("WAYLAND_SOCKET"),
        is_set("DISPLAY"),
    ) {
        (true, _) => WAYLAND,
        (false, true) => X11,
        (false, false) => &[],
    };
    match std::fs::read(Path::new(LOADER_CACHE)) {
        Ok(cache) => missing(wanted, &cache),
        Err(_) => Ok(()),
    }
}

/// The cache has every library's name as a string that a zero byte closes.
fn missing(wanted: &[Library], cache: &[u8]) -> Result<(), MissingLibraries> {
    let known: std::collections::HashSet<&[u8]> = cache.split(|byte| *byte == 0).collect();
    let is_missing = |(file, _): &&Library| !known.contains(file.as_bytes());
    let missing: Vec<Library> = wanted.iter().filter(is_missing).copied().collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(MissingLibraries(missing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_libraries_are_named_with_what_to_install() {
        let cache = b"glibc-ld.so.cache1.1\0libX11.so.6\0/lib/libX11.so.6\0libX11-xcb.so.1\0libxkbcommon.so.0\0libXi.so.6.1\0";
        let error = missing(X11, cache).unwrap_err().to_string();
        assert_eq!(
            error,
            "a window needs libraries that are not installed: libXcursor.so.1, libXi.so.6, libxkbcommon-x11.so.0; install them \
             (Debian: apt-get install libxcursor1 libxi6 libxkbcommon-x11-0), or run with --headless"
        );
        assert_eq!(missing(&[], cache), Ok(()));
    }

    #[test]
    fn this_systems_own_cache_names_the_c_library() {
        let cache = std::fs::read(LOADER_CACHE).unwrap();
        assert_eq!(missing(&[("libc.so.6", "libc6")], &cache), Ok(()));
    }
}
