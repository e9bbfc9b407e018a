//! The whole screen, with neither X nor Wayland: kernel mode setting for pixels, evdev for keys and pointers.
//!
//! For a kiosk. The console is taken from the kernel for as long as the show lasts: no text is drawn over the desktop, no key reaches a
//! shell, no other virtual terminal comes up. Every keyboard and pointer is grabbed, also those plugged in later. Whatever happens to
//! screens or to the machine's sleep while nobody watches locks the desktop.
//!
//! What it trusts: the kernel. Devices it does not: a keyboard may be anything that was plugged in, so it can do no more than a person.

mod card;
mod input;
mod kernel_events;
mod screen;

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use compositor::{InputEvent, OutputId, Size};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use virtual_terminal::{Taken, TerminalError};

use super::picture::SpareCanvas;
use super::{Show, ShowError};
use card::Card;
use input::{Act, Devices};
use kernel_events::KernelEvents;
use screen::Screen;

/// Why the screen cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KmsError {
    /// Nothing to show pixels with.
    #[error(
        "no graphics card with connectors was found in /dev/dri; is the card's driver loaded? (--headless runs without a screen)"
    )]
    NoCard,
    /// The card may not be opened.
    #[error(
        "{} may not be opened by this user; run as root, or as a member of the group `video` on the machine's own console", .path.display()
    )]
    NotAllowed {
        /// The card.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Something else shows pixels.
    #[error(
        "another program has the screen of {}; end the X server or Wayland compositor that runs there, or run inside it without --kms", .path.display()
    )]
    InUse {
        /// The card.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A request to the card failed.
    #[error("the graphics card would not {act}")]
    Card {
        /// What it should have done.
        act: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The console stays with the kernel.
    #[error(transparent)]
    Console(#[from] TerminalError),
    /// Changes of devices cannot be heard of.
    #[error("the kernel does not tell what is plugged in")]
    KernelEvents(#[source] io::Error),
}

/// True where a graphics card is there to run on.
#[must_use]
pub fn has_card() -> bool {
    card::paths().next().is_some()
}

/// Runs a show to its end on the machine's own screens.
///
/// # Errors
/// The screen cannot be had, or what went wrong with the show.
pub fn run(mut show: Show) -> Result<(), ShowError> {
    let mut presenter = Presenter::open(&mut show)?;
    loop {
        let now = Instant::now();
        show.step(&mut SpareCanvas, now);
        if show.is_over() {
            return show.outcome();
        }
        presenter.look_for_sleep(&mut show);
        presenter.paint(&mut show, now)?;
        let ready = presenter.wait(&show)?;
        presenter.take(&mut show, &ready)?;
    }
}

struct Presenter {
    // Fields are dropped in this order: devices let go and screens go dark before the console comes back.
    devices: Devices,
    screens: Vec<Screen>,
    card: Rc<Card>,
    events: KernelEvents,
    /// How often the machine had slept when the screens were last known to show what is true.
    sleeps: u32,
    _console: Option<Taken>,
}

/// Which descriptors had something to read.
struct Ready {
    card: bool,
    events: bool,
    devices: Vec<usize>,
}

impl Presenter {
    fn open(show: &mut Show) -> Result<Self, KmsError> {
        // Heard of from before the first look, so that nothing is missed between the two.
        let events = KernelEvents::listen().map_err(KmsError::KernelEvents)?;
        let card = Rc::new(Card::open()?);
        let console = Taken::take()?;
        let mut presenter = Self {
            devices: Devices::default(),
            screens: Vec::new(),
            card,
            events,
            sleeps: show.session.sleeps(),
            _console: console,
        };
        presenter.devices.scan();
        presenter.light_screens(show, Instant::now())?;
        Ok(presenter)
    }

    /// Looks which screens there are, and shows the desktop on them. True if that changed anything.
    fn light_screens(&mut self, show: &mut Show, now: Instant) -> Result<bool, KmsError> {
        let wanted = self.card.wanted(&self.screens)?;
        let same = wanted.len() == self.screens.len()
            && wanted
                .iter()
                .zip(&self.screens)
                .all(|(wanted, screen)| screen.shows(wanted));
        if same {
            return Ok(false);
        }
        // Screens that stay keep their buffers; the others give theirs back before new ones are asked for.
        let mut staying = Vec::new();
        for screen in self.screens.drain(..) {
            if wanted.iter().any(|wanted| screen.shows(wanted)) {
                staying.push(screen);
            }
        }
        for wanted in wanted {
            match staying.iter().position(|screen| screen.shows(&wanted)) {
                Some(at) => self.screens.push(staying.swap_remove(at)),
                None => match Screen::new(&self.card, &wanted) {
                    Ok(screen) => {
                        tracing::info!("screen {wanted}");
                        self.screens.push(screen);
                    }
                    // The others are of use all the same.
                    Err(error) => tracing::warn!("screen {wanted} stays dark: {error}"),
                },
            }
        }
        let sizes: Vec<_> = self
            .screens
            .iter()
            .map(|screen| (screen.size(), screen.scale()))
            .collect();
        show.session.set_screens(&sizes, now);
        // A screen may have another number now, and with it another part of the desktop.
        show.session.repaint();
        Ok(true)
    }

    /// After the machine slept the kernel shows again what was there before, and there may be somebody else before it: the screens go
    /// dark, and come back with a frame of now, which shows the lock where there is one.
    fn look_for_sleep(&mut self, show: &mut Show) {
        let sleeps = show.session.sleeps();
        if std::mem::replace(&mut self.sleeps, sleeps) != sleeps {
            self.screens.iter_mut().for_each(Screen::darken);
            show.session.repaint();
        }
    }

    fn paint(&mut self, show: &mut Show, now: Instant) -> Result<(), KmsError> {
        for (number, screen) in (0..).zip(&mut self.screens) {
            let output = OutputId(number);
            if screen.rhythm().may_begin(now) && show.session.scene().needs_render(output) {
                screen.paint(&mut show.session, output, now)?;
            }
        }
        Ok(())
    }

    /// Sleeps until something happens or is due.
    fn wait(&self, show: &Show) -> Result<Ready, ShowError> {
        let now = Instant::now();
        let frames = (0..)
            .zip(&self.screens)
            .filter(|(number, _)| show.session.scene().needs_render(OutputId(*number)))
            .map(|(_, screen)| screen.rhythm().next().unwrap_or(now));
        let deadline = show.next_step().into_iter().chain(frames).min();
        let timeout = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(now);
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let [zones, signals] = show.descriptors();
        let mut watched = vec![self.card.as_fd(), zones, signals];
        watched.extend(self.events.descriptors());
        let before_devices = watched.len();
        watched.extend(self.devices.descriptors());
        let mut watched: Vec<PollFd<'_>> = watched
            .into_iter()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(ShowError::Loop(errno.into())),
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let (others, devices) = watched.split_at(before_devices);
        Ok(Ready {
            card: others.first().is_some_and(is_ready),
            events: others.iter().skip(3).any(is_ready),
            devices: devices
                .iter()
                .enumerate()
                .filter(|(_, fd)| is_ready(fd))
                .map(|(number, _)| number)
                .collect(),
        })
    }

    /// Takes what happened.
    fn take(&mut self, show: &mut Show, ready: &Ready) -> Result<(), KmsError> {
        let now = Instant::now();
        if ready.card {
            for crtc in self.card.flipped()? {
                self.screens
                    .iter_mut()
                    .for_each(|screen| screen.flipped(crtc));
                show.session.presented();
            }
        }
        let size = desktop_size(&self.screens);
        for act in self.devices.read(&ready.devices, size) {
            match act {
                Act::Input(event) => show.session.input(event, now),
                Act::PowerButton => show.close(&mut SpareCanvas, now),
            }
        }
        if ready.events {
            let happened = self.events.take();
            if happened.devices && self.devices.scan() {
                show.session.input(InputEvent::KeyboardLost, now);
            }
            if happened.screens {
                self.light_screens(show, now)?;
            }
        }
        Ok(())
    }
}

/// The rectangle that holds all screens: what an absolute pointer points into.
fn desktop_size(screens: &[Screen]) -> Size {
    screens.iter().fold(Size::default(), |size, screen| {
        Size::new(
            size.width.saturating_add(screen.size().width),
            size.height.max(screen.size().height),
        )
    })
}
