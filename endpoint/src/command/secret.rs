//! `bulkhead passphrase` and `bulkhead phrase`: what only the user knows.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Subcommand;
use endpoint::state_directory::StateDirectory;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::Failure;

/// The longest phrase that the attention screen shows whole, in characters.
const PHRASE_MOST: usize = 64;
/// The shortest that is worth the name.
const PHRASE_LEAST: usize = 6;

#[derive(Debug, Subcommand)]
pub(super) enum Passphrase {
    /// Set what unlocks the desktop; asks for it, or reads the first line of standard input. A desktop with one is locked at its start.
    Set(Place),
    /// Take it away: the desktop is not locked any more
    Remove(Place),
}

#[derive(Debug, Subcommand)]
pub(super) enum Phrase {
    /// Set the phrase that only you know and the attention screen shows; asks for it, or reads the first line of standard input
    Set(Place),
}

#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The desktop's state directory [default: the user's]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl Place {
    fn open(&self) -> Result<StateDirectory, Failure> {
        let place = self.state_dir.clone();
        StateDirectory::open(place.unwrap_or_else(StateDirectory::usual_place)).map_err(failed)
    }
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::from_error(Failure::GENERAL, &error)
}

pub(super) fn passphrase(command: &Passphrase) -> Result<(), Failure> {
    match command {
        Passphrase::Set(place) => {
            let file = place.open()?.passphrase();
            file.set(&ask_twice("Passphrase or PIN")?).map_err(failed)?;
            println!(
                "The passphrase is set; it counts at once, and at every start of the desktop."
            );
        }
        Passphrase::Remove(place) => {
            let was_set = place.open()?.passphrase().remove().map_err(failed)?;
            println!(
                "{}",
                if was_set {
                    "The passphrase is gone."
                } else {
                    "None was set."
                }
            );
        }
    }
    Ok(())
}

pub(super) fn phrase(command: &Phrase) -> Result<(), Failure> {
    let Phrase::Set(place) = command;
    let phrase = ask_twice("Secret phrase")?;
    let length = phrase.chars().count();
    if !(PHRASE_LEAST..=PHRASE_MOST).contains(&length) || phrase.chars().any(char::is_control) {
        let wrong = format!(
            "write a phrase of {PHRASE_LEAST} to {PHRASE_MOST} characters that can be shown"
        );
        return Err(Failure::new(Failure::GENERAL, wrong));
    }
    place.open()?.set_secret_phrase(&phrase).map_err(failed)?;
    println!("The phrase is set; the desktop shows it from its next start on.");
    Ok(())
}

/// Asks at the terminal, without showing what is typed; a pipe is read once.
fn ask_twice(what: &str) -> Result<Zeroizing<String>, Failure> {
    if !io::stdin().is_terminal() {
        return read_line();
    }
    let hidden = Hidden::begin().map_err(failed)?;
    eprint!("{what}: ");
    let first = read_line()?;
    eprint!("\nOnce more: ");
    let second = read_line()?;
    eprintln!();
    drop(hidden);
    if *first == *second {
        Ok(first)
    } else {
        Err(Failure::new(
            Failure::GENERAL,
            "the two differ; nothing was changed",
        ))
    }
}

fn read_line() -> Result<Zeroizing<String>, Failure> {
    // Growing would leave copies behind that are not wiped.
    let mut line = Zeroizing::new(String::with_capacity(4096));
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    while line.ends_with(['\n', '\r']) {
        line.pop();
    }
    Ok(line)
}

/// The terminal shows nothing of what is typed, as long as this lives.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing either.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
