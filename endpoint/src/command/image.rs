//! `bulkhead image`: guest images as directories and in the store.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use endpoint::state_directory::StateDirectory;
use guest_image::{Builder, Entry, Error, Image, Progress, Step, Store};
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the desktop image from Debian packages; fetched by apt, signatures checked by apt.
    Build {
        /// The guest's architecture.
        #[arg(long, value_enum, default_value = "riscv64")]
        arch: Architecture,
        /// The directory for the image.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Where packages and intermediate files are kept for the next time [default: the user's cache directory].
        #[arg(long, value_name = "DIR")]
        cache: Option<PathBuf>,
        /// The Debian archive [default: the one in this machine's apt sources].
        #[arg(long, value_name = "ADDRESS")]
        mirror: Option<String>,
        /// Put the finished image into the store, too.
        #[arg(long)]
        import: bool,
        /// The image store [default: the user's data directory].
        #[arg(long, value_name = "DIR")]
        image_store: Option<PathBuf>,
    },
    /// List the images in the store with the hashes by which a policy names them.
    List {
        /// The image store [default: the user's data directory].
        #[arg(long, value_name = "DIR")]
        image_store: Option<PathBuf>,
    },
    /// Verify an image in a directory and copy it into the store: how an air-gapped host gets its images.
    Import {
        /// The image's directory.
        directory: PathBuf,
        /// The image store [default: the user's data directory].
        #[arg(long, value_name = "DIR")]
        image_store: Option<PathBuf>,
    },
    /// Compare every byte of an image with its manifest.
    Verify {
        /// An image's directory, or the name or hash of an image in the store; all of the store where nothing is named.
        image: Option<String>,
        /// The image store [default: the user's data directory].
        #[arg(long, value_name = "DIR")]
        image_store: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Architecture {
    /// 64-bit RISC-V.
    Riscv64,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Build {
            arch: Architecture::Riscv64,
            out,
            cache,
            mirror,
            import,
            image_store,
        } => {
            let cache = cache.clone().unwrap_or_else(StateDirectory::usual_cache);
            let mut builder = Builder::new(out, cache);
            if let Some(mirror) = mirror {
                builder = builder.mirror(mirror.as_str());
            }
            let mut bars = Bars::default();
            let image = builder.build(&mut bars).map_err(failed)?;
            bars.finish();
            tell(&image);
            if *import {
                let kept = store(image_store.as_deref()).import(out).map_err(failed)?;
                println!("imported into {}", kept.directory().display());
            }
            Ok(())
        }
        Command::List { image_store } => list(&store(image_store.as_deref())),
        Command::Import {
            directory,
            image_store,
        } => {
            let image = store(image_store.as_deref())
                .import(directory)
                .map_err(failed)?;
            tell(&image);
            Ok(())
        }
        Command::Verify { image, image_store } => {
            verify(image.as_deref(), &store(image_store.as_deref()))
        }
    }
}

fn store(place: Option<&Path>) -> Store {
    Store::new(place.map_or_else(StateDirectory::usual_image_store, Path::to_owned))
}

fn failed(error: Error) -> Failure {
    Failure::from_error(Failure::IMAGE, &error)
}

fn tell(image: &Image) {
    println!("{}  sha256:{}", image.manifest().name(), image.id());
}

fn list(store: &Store) -> Result<(), Failure> {
    let entries = store.list().map_err(failed)?;
    if entries.is_empty() {
        println!("no images in {}", store.directory().display());
    }
    for entry in &entries {
        match entry {
            Entry::Image(image) => tell(image),
            Entry::Broken { path, problem } => println!("(broken)  {}: {problem}", path.display()),
            _ => {}
        }
    }
    Ok(())
}

fn verify(wanted: Option<&str>, store: &Store) -> Result<(), Failure> {
    let images = match wanted {
        Some(wanted) if Path::new(wanted).is_dir() => vec![Image::open(wanted).map_err(failed)?],
        Some(wanted) => vec![store.find(wanted).map_err(failed)?],
        None => {
            let mut images = Vec::new();
            for entry in store.list().map_err(failed)? {
                match entry {
                    Entry::Image(image) => images.push(image),
                    Entry::Broken { problem, .. } => return Err(failed(problem)),
                    _ => {}
                }
            }
            images
        }
    };
    for image in &images {
        image.verify().map_err(failed)?;
        print!("verified  ");
        tell(image);
    }
    if images.is_empty() {
        println!("no images in {}", store.directory().display());
    }
    Ok(())
}

/// A progress bar for the step that is under way.
#[derive(Default)]
struct Bars {
    current: Option<(Step, ProgressBar)>,
}

impl Bars {
    fn finish(&mut self) {
        if let Some((_, bar)) = self.current.take() {
            bar.finish_and_clear();
        }
    }

    fn bar(step: Step) -> ProgressBar {
        let units = if step.counts_bytes() {
            "{bytes}/{total_bytes}"
        } else {
            "{pos}/{len}"
        };
        let template = format!("{{msg:28}} [{{bar:40}}] {units} {{eta}}");
        let bar = ProgressBar::new(0).with_message(step.label());
        // The template is fixed; were it wrong, the plain bar would do.
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar
    }
}

impl Progress for Bars {
    fn update(&mut self, step: Step, done: u64, total: u64) {
        if self
            .current
            .as_ref()
            .is_none_or(|(current, _)| *current != step)
        {
            self.finish();
            self.current = Some((step, Self::bar(step)));
        }
        if let Some((_, bar)) = &self.current {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    fn note(&mut self, text: &str) {
        match &self.current {
            // Without a terminal a bar says nothing.
            Some((_, bar)) if !bar.is_hidden() => bar.println(text),
            _ => eprintln!("{text}"),
        }
    }
}
