//! Builds the desktop image without the endpoint: `cargo run -p guest-image --example build OUTPUT CACHE`.

use std::process::ExitCode;

use guest_image::{Builder, Progress, Step};

struct Lines(Option<Step>);

impl Progress for Lines {
    fn update(&mut self, step: Step, _done: u64, _total: u64) {
        if self.0.replace(step) != Some(step) {
            eprintln!("{}", step.label());
        }
    }

    fn note(&mut self, text: &str) {
        eprintln!("note: {text}");
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [output, cache] = arguments.as_slice() else {
        eprintln!("usage: build OUTPUT CACHE");
        return ExitCode::from(2);
    };
    match Builder::new(output, cache).build(&mut Lines(None)) {
        Ok(image) => {
            println!("{} {}", image.id(), image.directory().display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(one) = cause {
                eprintln!("error: {one}");
                cause = one.source();
            }
            ExitCode::FAILURE
        }
    }
}
