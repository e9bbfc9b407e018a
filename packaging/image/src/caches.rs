//! Caches that Debian's maintainer scripts would make inside the guest, made here by tools of the same suite.

use std::fs;
use std::path::Path;

use crate::tools::Tools;
use crate::{Error, Progress, Step, keymap, recipe, tree};

type Maker = fn(&Path, &Tools, &mut dyn Progress) -> Result<(), Error>;

/// Makes every cache below `root`.
pub(crate) fn make(root: &Path, tools: &Tools, progress: &mut dyn Progress) -> Result<(), Error> {
    let makers: [Maker; 4] = [fonts, mime_types, schemas, keymaps];
    for (done, maker) in makers.iter().enumerate() {
        progress.update(Step::Caches, done as u64, makers.len() as u64);
        maker(root, tools, progress)?;
    }
    progress.update(Step::Caches, makers.len() as u64, makers.len() as u64);
    Ok(())
}

/// fontconfig's cache: without it the first program looks into every font for seconds. It holds the directories' times.
fn fonts(root: &Path, tools: &Tools, progress: &mut dyn Progress) -> Result<(), Error> {
    tree::set_times(&root.join("usr/share/fonts"))?;
    tools
        .program("fc-cache", "making the font cache")
        .env("SOURCE_DATE_EPOCH", recipe::TIMESTAMP.to_string())
        .arg("--sysroot")
        .arg(root)
        .args(["--force", "--system-only"])
        .run(progress, |_| {})
        .map(drop)
}

/// File types by name and contents, for the file manager.
fn mime_types(root: &Path, tools: &Tools, progress: &mut dyn Progress) -> Result<(), Error> {
    let mime = root.join("usr/share/mime");
    let packages = mime.join("packages");
    fs::create_dir_all(&packages).map_err(Error::file("create", &packages))?;
    let source = tools.path("usr/share/mime/packages/freedesktop.org.xml");
    let target = packages.join("freedesktop.org.xml");
    fs::copy(&source, &target).map_err(Error::file("write", &target))?;
    tools
        .program("update-mime-database", "making the file type cache")
        .arg(&mime)
        .run(progress, |_| {})?;
    // Source of the cache, of no use in the guest.
    fs::remove_dir_all(&packages).map_err(Error::file("remove", &packages))
}

/// Settings schemas of GTK's programs.
fn schemas(root: &Path, tools: &Tools, progress: &mut dyn Progress) -> Result<(), Error> {
    let directory = root.join("usr/share/glib-2.0/schemas");
    if !directory.is_dir() {
        return Ok(());
    }
    tools
        .program("glib-compile-schemas", "compiling settings schemas")
        .arg(&directory)
        .run(progress, |_| {})
        .map(drop)
}

/// Compiled keyboard maps, named by what the X server asks its compiler for.
fn keymaps(root: &Path, tools: &Tools, progress: &mut dyn Progress) -> Result<(), Error> {
    let directory = root.join("usr/lib/bulkhead/keymaps");
    fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
    let source = directory.join("source");
    for (keycodes, symbols) in recipe::KEYMAPS {
        let text = format!(
            "xkb_keymap \"default\" {{\n\
             xkb_keycodes {{ include \"{keycodes}\" }};\n\
             xkb_types {{ include \"complete\" }};\n\
             xkb_compatibility {{ include \"complete\" }};\n\
             xkb_symbols {{ include \"{symbols}\" }};\n\
             }};\n"
        );
        let map = directory.join(format!("{keycodes},{symbols}.xkm"));
        fs::write(&source, text).map_err(Error::file("write", &source))?;
        let mut include = std::ffi::OsString::from("-R");
        include.push(root.join("usr/share/X11/xkb"));
        tools
            .program("xkbcomp", "compiling a keyboard map")
            .args(["-w", "0", "-xkm"])
            .arg(include)
            .arg(&source)
            .arg(&map)
            .run(progress, |_| {})?;
        let mut bytes = fs::read(&map).map_err(Error::file("read", &map))?;
        keymap::zero_padding(&mut bytes).ok_or_else(|| Error::Recipe {
            what: format!("the compiled keyboard map {symbols} has an unknown form"),
        })?;
        fs::write(&map, bytes).map_err(Error::file("write", &map))?;
    }
    fs::remove_file(&source).map_err(Error::file("remove", &source))
}
