//! Import, list and find, with images that are right, damaged and made to mislead.

use std::os::unix::fs::symlink;

use super::*;
use crate::manifest::{Architecture, FileEntry, Manifest, Package};

fn write_image(directory: &Path, name: &str, fill: u8) -> Image {
    fs::create_dir_all(directory).expect("temporary directory");
    let mut files = Vec::new();
    for file in FileName::ALL {
        let bytes = vec![fill; 1000 + file.as_str().len()];
        fs::write(directory.join(file.as_str()), &bytes).expect("temporary file");
        files.push(FileEntry {
            size: bytes.len() as u64,
            sha256: Sha256::of(&bytes),
        });
    }
    let manifest = Manifest {
        architecture: Architecture::Riscv64,
        name: name.to_owned(),
        recipe: Sha256::of(b"recipe"),
        arguments: String::new(),
        files: files.try_into().expect("three files"),
        packages: vec![Package::new("bash", "5").expect("valid")],
    };
    fs::write(directory.join(Image::MANIFEST), manifest.to_toml()).expect("temporary file");
    Image::open(directory).expect("a good image")
}

struct Fixture {
    root: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("temporary directory");
        let store = Store::new(root.path().join("store"));
        Self { root, store }
    }

    fn source(&self, name: &str, fill: u8) -> Image {
        write_image(&self.root.path().join(format!("{name}-{fill}")), name, fill)
    }

    /// Nothing half-done is left in the store.
    fn assert_only(&self, images: usize) {
        let found: Vec<_> = fs::read_dir(self.store.directory())
            .map(|listing| listing.flatten().map(|item| item.file_name()).collect())
            .unwrap_or_default();
        assert_eq!(found.len(), images, "{found:?}");
    }
}

#[test]
fn an_imported_image_is_found_by_name_hash_and_prefix() {
    let fixture = Fixture::new();
    assert!(fixture.store.list().expect("empty").is_empty());
    let source = fixture.source("desk", 1);
    let imported = fixture.store.import(source.directory()).expect("imports");
    assert_eq!(imported.id(), source.id());
    imported.verify().expect("whole");
    let hash = source.id().to_string();
    for wanted in ["desk", &hash, &hash[..8]] {
        assert_eq!(fixture.store.find(wanted).expect(wanted), imported);
    }
    let again = fixture.store.import(source.directory()).expect("again");
    assert_eq!(again, imported);
    fixture.assert_only(1);
    for wanted in ["desk2", &hash[..7], "", "../desk", &"0".repeat(64)] {
        assert!(matches!(
            fixture.store.find(wanted),
            Err(Error::NotFound { .. })
        ));
    }
}

#[test]
fn a_name_of_two_images_needs_a_hash() {
    let fixture = Fixture::new();
    for fill in [1, 2] {
        let source = fixture.source("desk", fill);
        fixture.store.import(source.directory()).expect("imports");
    }
    let Err(Error::Ambiguous { candidates, .. }) = fixture.store.find("desk") else {
        panic!("two images of one name");
    };
    assert_eq!(candidates.len(), 2);
    for candidate in candidates {
        fixture.store.find(&candidate).expect("by hash");
    }
}

#[test]
fn changed_bytes_and_sizes_are_not_imported() {
    let fixture = Fixture::new();
    for (number, name) in FileName::ALL.into_iter().enumerate() {
        let source = fixture.source("desk", u8::try_from(number).expect("small"));
        let path = source.path(name);
        let mut bytes = fs::read(&path).expect("reads");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&path, &bytes).expect("writes");
        assert!(matches!(
            fixture.store.import(source.directory()),
            Err(Error::WrongDigest { path: named, .. }) if named == path
        ));
        assert!(matches!(source.verify(), Err(Error::WrongDigest { .. })));
        bytes.pop();
        fs::write(&path, &bytes).expect("writes");
        assert!(matches!(
            fixture.store.import(source.directory()),
            Err(Error::WrongSize { .. })
        ));
        fs::remove_file(&path).expect("removes");
        assert!(matches!(
            fixture.store.import(source.directory()),
            Err(Error::File { .. })
        ));
    }
    fixture.assert_only(0);
}

#[test]
fn links_pipes_and_directories_are_no_image_files() {
    let fixture = Fixture::new();
    let secret = fixture.root.path().join("secret");
    for (number, name) in ["kernel", "root.squashfs", Image::MANIFEST]
        .iter()
        .enumerate()
    {
        let source = fixture.source("desk", u8::try_from(number).expect("small"));
        let path = source.directory().join(name);
        let refuses = || {
            assert!(matches!(
                fixture.store.import(source.directory()),
                Err(Error::NotAPlainFile { path: named }) if named == path
            ));
        };
        fs::rename(&path, &secret).expect("moves");
        symlink(&secret, &path).expect("links");
        refuses();
        fs::remove_file(&path).expect("removes");
        fs::create_dir(&path).expect("creates");
        refuses();
        fs::remove_dir(&path).expect("removes");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo runs").success());
        refuses();
    }
    fixture.assert_only(0);
}

#[test]
fn a_damaged_image_in_the_store_is_seen_and_replaced() {
    let fixture = Fixture::new();
    let source = fixture.source("desk", 1);
    let imported = fixture.store.import(source.directory()).expect("imports");
    let kernel = imported.path(FileName::Kernel);
    fs::remove_file(&kernel).expect("removes");
    fs::write(&kernel, vec![9; 1006]).expect("writes");
    assert!(matches!(
        fixture.store.find("desk").and_then(|image| image.verify()),
        Err(Error::WrongDigest { .. })
    ));
    fixture
        .store
        .import(source.directory())
        .and_then(|image| image.verify())
        .expect("replaced");
    fixture.assert_only(1);
}

#[test]
fn a_directory_under_another_images_hash_is_broken() {
    let fixture = Fixture::new();
    let source = fixture.source("desk", 1);
    let other = Sha256::of(b"other").to_string();
    write_image(&fixture.store.directory().join(&other), "desk", 1);
    assert!(matches!(
        fixture.store.find(&other),
        Err(Error::WrongIdentity { found, .. }) if found == source.id()
    ));
    assert!(matches!(
        fixture.store.list().expect("lists").as_slice(),
        [Entry::Broken { .. }]
    ));
    assert!(matches!(
        fixture.store.find("desk"),
        Err(Error::NotFound { .. })
    ));
}

#[test]
fn a_manifest_keeps_its_bytes() {
    let fixture = Fixture::new();
    let source = fixture.source("desk", 1);
    let path = source.directory().join(Image::MANIFEST);
    let text = fs::read_to_string(&path).expect("reads");
    fs::write(&path, format!("# a comment\n{text}")).expect("writes");
    let imported = fixture.store.import(source.directory()).expect("imports");
    assert_ne!(imported.id(), source.id());
    assert_eq!(fixture.store.find("desk").expect("is there"), imported);
}

#[test]
fn verified_descriptors_start_at_the_first_byte() {
    use std::io::Read as _;
    let fixture = Fixture::new();
    let source = fixture.source("desk", 7);
    let mut files = source.open_verified().expect("whole");
    let mut bytes = Vec::new();
    files.root.read_to_end(&mut bytes).expect("reads");
    assert_eq!(bytes, vec![7; 1013]);
}
