//! The same packages give the same bytes: the image that `cargo xtask test` built is built a second time, elsewhere, and compared.
//!
//! The second build shares nothing with the first but the fetched packages: another output, another cache, another time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use guest_image::{Builder, FileName, Progress, Step, Store};

/// The most an image may take up on disk.
const SIZE_LIMIT: u64 = 300 << 20;

/// Remembers which steps a build took.
#[derive(Default)]
struct Steps(Vec<Step>);

impl Progress for Steps {
    fn update(&mut self, step: Step, done: u64, total: u64) {
        assert!(done <= total, "{step:?}: {done} of {total}");
        if self.0.last() != Some(&step) {
            self.0.push(step);
        }
    }
}

fn named(variable: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || panic!("{variable} is not set: run this test by `cargo xtask test`"),
        PathBuf::from,
    )
}

/// Gives the second build's cache what apt fetched for the first one, by hard links where they work.
fn share_packages(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creates");
    for item in fs::read_dir(from)
        .expect("the first build's cache")
        .flatten()
    {
        let (from, to) = (item.path(), to.join(item.file_name()));
        if item.file_type().expect("kind").is_dir() {
            share_packages(&from, &to);
        } else if from.extension().is_some_and(|extension| extension == "deb") {
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).expect("copies");
            }
        } else {
            // Lists and stamps are written to: each build has its own.
            fs::copy(&from, &to).expect("copies");
        }
    }
}

#[test]
fn a_second_build_gives_the_same_bytes() {
    let first = Store::new(named("BULKHEAD_IMAGE_STORE"))
        .find("debian-desktop")
        .expect("`cargo xtask test` built an image");
    first.verify().expect("it is whole");
    assert!(first.manifest().total_size() < SIZE_LIMIT);
    assert!(
        first
            .manifest()
            .packages()
            .iter()
            .any(|package| package.name() == "xserver-xorg-core")
    );

    let place = tempfile::tempdir().expect("temporary directory");
    let (output, cache) = (place.path().join("image"), place.path().join("cache"));
    let first_cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../out/cache");
    for architecture in fs::read_dir(&first_cache)
        .expect("the first build's cache")
        .flatten()
    {
        if architecture
            .file_name()
            .to_string_lossy()
            .starts_with("apt-")
        {
            share_packages(&architecture.path(), &cache.join(architecture.file_name()));
        }
    }
    // The lists stay as they were for the first build, however old they are.
    let builder = Builder::new(&output, &cache).lists_age(Duration::from_secs(u64::MAX / 4));
    let mut steps = Steps::default();
    let second = builder.build(&mut steps).expect("builds again");
    assert_eq!(steps.0, Step::ALL);
    for name in FileName::ALL {
        assert_eq!(
            first.manifest().file(name),
            second.manifest().file(name),
            "{} differs",
            name.as_str()
        );
    }
    assert_eq!(first.id(), second.id());

    // A third build finds that there is nothing to do, until a file is damaged.
    let mut steps = Steps::default();
    builder.build(&mut steps).expect("is up to date");
    assert_eq!(steps.0, [Step::Lists]);
    let kernel = second.path(FileName::Kernel);
    let length = fs::metadata(&kernel).expect("is there").len();
    fs::write(&kernel, vec![0; usize::try_from(length).expect("fits")]).expect("damages");
    assert!(second.verify().is_err());
}
