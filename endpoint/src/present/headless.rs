//! No display: pixels stay in memory, input comes from a script, pictures go to files.

use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::picture::{Camera, Canvas, PictureError};
use super::{Show, ShowError};
use crate::Session;

/// Runs a show to its end.
///
/// # Errors
/// What went wrong with it.
pub fn run(mut show: Show) -> Result<(), ShowError> {
    let mut desktop = Desktop::default();
    loop {
        let now = Instant::now();
        show.step(&mut desktop, now);
        if show.is_over() {
            return show.outcome();
        }
        if show.session.frame_due(now) {
            desktop.0.paint(&mut show.session, true, now);
            show.session.presented();
        }
        wait(&show)?;
    }
}

/// Sleeps until something happens or is due.
fn wait(show: &Show) -> Result<(), ShowError> {
    let timeout = show.next_deadline().map(|deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        }
    });
    let [zones, signals] = show.descriptors();
    let mut watched = [
        PollFd::from_borrowed_fd(zones, PollFlags::IN),
        PollFd::from_borrowed_fd(signals, PollFlags::IN),
    ];
    match poll(&mut watched, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(ShowError::Loop(errno.into())),
    }
}

/// The desktop that nobody sees.
#[derive(Debug, Default)]
struct Desktop(Canvas);

impl Camera for Desktop {
    fn take(
        &mut self,
        session: &mut Session,
        path: &Path,
        now: Instant,
    ) -> Result<(), PictureError> {
        self.0.paint(session, true, now);
        self.0.save(path)
    }
}
