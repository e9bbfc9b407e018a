//! Presenters: who shows a session, and until when.
//!
//! A [`Show`] is a session with everything that ends it: a script, a time, a signal. The presenters, [`headless`], `kms` and `window`,
//! differ only in where the pixels go and the input comes from.

pub mod headless;
#[cfg(feature = "kms")]
pub mod kms;
#[cfg(feature = "window")]
pub mod libraries;
pub mod picture;
pub mod rhythm;
mod signals;
#[cfg(feature = "window")]
pub mod window;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::script::{Player, Progress, ScriptError};
use crate::{Session, Status};
use picture::{Camera, PictureError};
use signals::Signals;

/// A show that went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShowError {
    /// The script failed.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// A picture could not be saved.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// There is nothing to show a window on.
    #[error("no window can be opened; is there a display? Run with --headless where there is none")]
    NoDisplay(#[source] Box<dyn std::error::Error>),
    /// What a window system's clients need is not installed.
    #[cfg(feature = "window")]
    #[error(transparent)]
    Libraries(#[from] libraries::MissingLibraries),
    /// The screen cannot be had, or was lost.
    #[cfg(feature = "kms")]
    #[error(transparent)]
    Screen(#[from] kms::KmsError),
    /// The kernel refused something basic.
    #[error("the event loop failed")]
    Loop(#[source] std::io::Error),
    /// A zone ended in a way that nobody asked for.
    #[error("zone {zone} is {}{}", .status.word(), .status.reason().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Zone {
        /// Which.
        zone: String,
        /// How.
        status: Status,
    },
}

/// A session and its end.
pub struct Show {
    /// The session.
    pub session: Session,
    player: Option<Player>,
    signals: Signals,
    until: Option<Instant>,
    ends_with_script: bool,
    last_picture: Option<PathBuf>,
    closing: bool,
    failure: Option<ShowError>,
}

/// What ends a show, besides a signal.
#[derive(Debug, Default)]
pub struct Ending {
    /// After so long.
    pub after: Option<Duration>,
    /// When the script is over.
    pub with_script: bool,
    /// A picture to take just before.
    pub picture: Option<PathBuf>,
}

impl Show {
    /// A show of `session`, with a script's player where there is one.
    ///
    /// # Errors
    /// Signals cannot be caught.
    pub fn new(
        session: Session,
        player: Option<Player>,
        ending: Ending,
        now: Instant,
    ) -> Result<Self, ShowError> {
        Ok(Self {
            session,
            player,
            signals: Signals::catch().map_err(ShowError::Loop)?,
            until: ending.after.map(|after| now + after),
            ends_with_script: ending.with_script,
            last_picture: ending.picture,
            closing: false,
            failure: None,
        })
    }

    /// Does everything that can be done now.
    pub fn step(&mut self, camera: &mut dyn Camera, now: Instant) {
        self.session.dispatch(now);
        picture::take_wanted(&mut self.session, now);
        if self.signals.take() {
            self.close(camera, now);
        }
        if let Some(player) = self.player.as_mut().filter(|_| !self.closing) {
            match player.advance(&mut self.session, camera, now) {
                Ok(Progress::Waiting) => {}
                Ok(Progress::Quit) => self.close(camera, now),
                Ok(Progress::Finished) => {
                    self.player = None;
                    if self.ends_with_script {
                        self.close(camera, now);
                    }
                }
                Err(error) => {
                    self.failure = Some(error.into());
                    self.close(camera, now);
                }
            }
        }
        if self.until.take_if(|until| *until <= now).is_some() && !self.closing {
            self.close(camera, now);
        }
    }

    /// Ends the show: the last picture, then the zones shut down. A second time kills them.
    pub fn close(&mut self, camera: &mut dyn Camera, now: Instant) {
        if let Some(path) = self.last_picture.take()
            && let Err(error) = camera.take(&mut self.session, &path, now)
        {
            self.failure.get_or_insert(error.into());
        }
        if !std::mem::replace(&mut self.closing, true) {
            let asked = |status: &Status| {
                matches!(
                    status,
                    Status::Panicked | Status::Failed(_) | Status::Killed(_)
                )
            };
            let broken = self
                .session
                .zones()
                .find(|zone| asked(zone.status()) && !zone.was_killed_by_user());
            if let Some(zone) = broken {
                let (zone, status) = (zone.name().to_owned(), zone.status().clone());
                self.failure.get_or_insert(ShowError::Zone { zone, status });
            }
        }
        self.session.shut_down(now);
    }

    /// True when nothing is left to show.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.closing && self.session.has_ended()
    }

    /// When [`Show::step`] or a frame is due though nothing else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.next_step(), self.session.next_frame()]
            .into_iter()
            .flatten()
            .min()
    }

    /// When [`Show::step`] is due: for a presenter that cannot take a frame now.
    #[must_use]
    pub fn next_step(&self) -> Option<Instant> {
        let script = self
            .player
            .as_ref()
            .filter(|_| !self.closing)
            .and_then(Player::deadline);
        [self.session.next_step(), script, self.until]
            .into_iter()
            .flatten()
            .min()
    }

    /// What to wait for: any of these being readable means that [`Show::step`] has something to do.
    #[must_use]
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.session.as_fd(), self.signals.as_fd()]
    }

    /// How it went.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub fn outcome(self) -> Result<(), ShowError> {
        self.failure.map_or(Ok(()), Err)
    }
}
