//! The core of the endpoint: zones with their processes on one side, the compositor on the other, and nothing of a window or a loop.
//!
//! A presenter waits for [`Session::as_fd`] or [`Session::next_deadline`], calls [`Session::dispatch`], and paints when
//! [`Session::frame_due`] says so. When nothing happens there is no deadline and nothing wakes anybody.
//!
//! Invariants: a zone that breaks the protocol is killed, recorded and dark before its next message would be read; no zone can make
//! the session wait; what one zone does costs from its own budget.

mod events;
mod jail;
mod launch;
mod lifecycle;
mod process;
mod screen;
mod watch;
mod zone;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bulkhead_policy::Policy;
use bulkhead_policy::audit::AuditError;
use compositor::{InputEvent, OutputId, Rect, Scale, Scene, Settings, Size, Target, ZoneId};
use zone_jail::Layers;

use crate::audit::{Audit, Event as Record};
use crate::images::{ImageError, ImageSource, OpenImage};
use crate::state_directory::StateDirectory;
use watch::{Source, Watch};
use zone::Zone;

pub use jail::required_layers;
pub use launch::{Launcher, installed_zone_program};
pub use zone::{Status, ZoneView};

/// The one output that a presenter shows.
pub const DESKTOP: OutputId = OutputId(0);

/// The shortest time between two frames.
const FRAME: Duration = Duration::from_micros(16_600);
/// How long a record may wait to be synced: several then cost one sync.
const SYNC: Duration = Duration::from_secs(1);

/// What a session is to be like.
#[derive(Clone, Debug)]
pub struct Options {
    /// The desktop's size in pixels.
    pub size: Size,
    /// Its scale.
    pub scale: Scale,
    /// Colours and keys.
    pub settings: Settings,
    /// How long a zone may take to shut down before it is killed.
    pub shutdown_after: Duration,
    /// Whether each console's output is also written to a file in the state directory.
    pub log_consoles: bool,
    /// Whether each zone gets a debugger's door, a socket in the state directory.
    pub debug_zones: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            size: Size::new(1280, 800),
            scale: Scale::ONE,
            settings: Settings::default(),
            shutdown_after: Duration::from_secs(30),
            log_consoles: false,
            debug_zones: false,
        }
    }
}

/// What a session needs from outside.
pub struct Services {
    /// Guest images.
    pub images: Arc<dyn ImageSource>,
    /// The record of what happened.
    pub audit: Box<dyn Audit>,
    /// How a zone process is started.
    pub launcher: Launcher,
    /// Homes and logs.
    pub state: StateDirectory,
}

/// A session that cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The kernel refused something basic.
    #[error("the session cannot watch its zones")]
    Watch(#[source] std::io::Error),
    /// A zone that the desktop cannot show.
    #[error("zone {zone} cannot be shown: {reason}")]
    Zone {
        /// Which.
        zone: String,
        /// Why not.
        reason: String,
    },
}

/// A name that no zone of the policy has.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there is no zone `{name}`; the policy has {known}")]
pub struct UnknownZone {
    /// The name that was given.
    pub name: String,
    /// The names that there are.
    pub known: String,
}

/// Everything that is open.
pub struct Session {
    scene: Scene,
    zones: Vec<Zone>,
    watch: Watch,
    services: Services,
    required: Layers,
    options: Options,
    /// The compositor counts time from here.
    began: Instant,
    last_frame: Option<Instant>,
    prepared: mpsc::Receiver<Prepared>,
    preparer: mpsc::Sender<Prepared>,
    shutting_down: bool,
    ended: bool,
    messages: u64,
    /// When the audit log is to be synced.
    sync_due: Option<Instant>,
}

/// What a thread found when it opened an image.
struct Prepared {
    zone: usize,
    incarnation: u32,
    image: Result<OpenImage, ImageError>,
}

impl Session {
    /// A desktop with the policy's zones, none of them started.
    ///
    /// # Errors
    /// A zone cannot be shown, or the kernel refuses.
    pub fn new(
        policy: &Policy,
        services: Services,
        options: Options,
    ) -> Result<Self, SessionError> {
        let watch = Watch::new().map_err(|errno| SessionError::Watch(errno.into()))?;
        let mut scene = Scene::new(options.size, options.scale, options.settings);
        let mut zones = Vec::new();
        for (number, zone) in (0..).zip(&policy.zones) {
            let refused = |reason: String| SessionError::Zone {
                zone: zone.name.to_string(),
                reason,
            };
            let identity = screen::identity(ZoneId(number), zone).ok_or_else(|| {
                refused(format!(
                    "this build cannot draw its shape ({}) or its icon ({})",
                    zone.shape, zone.icon
                ))
            })?;
            scene
                .add_zone(identity, None)
                .map_err(|error| refused(error.to_string()))?;
            zones.push(Zone::new(ZoneId(number), zone.clone()));
        }
        let (preparer, prepared) = mpsc::channel();
        let required = required_layers(&policy.jail.required);
        let mut session = Self {
            scene,
            zones,
            watch,
            services,
            required,
            options,
            began: Instant::now(),
            last_frame: None,
            prepared,
            preparer,
            shutting_down: false,
            ended: false,
            messages: 0,
            sync_due: None,
        };
        session.record(Record::session("started", policy.source().name()));
        session.record(Record::policy("at-work", policy, ""));
        Ok(session)
    }

    /// Starts every zone that the policy starts with the desktop.
    pub fn start_automatic_zones(&mut self) {
        for index in 0..self.zones.len() {
            if self
                .zones
                .get(index)
                .is_some_and(|zone| zone.policy.autostart)
            {
                self.prepare(index);
            }
        }
    }

    /// Does everything that can be done now: reads what zones sent, starts and ends processes, keeps deadlines.
    pub fn dispatch(&mut self, now: Instant) {
        for token in self.watch.ready() {
            if token.source == Source::Preparation {
                self.take_prepared(now);
                continue;
            }
            let index = usize::from(token.zone);
            if self
                .zones
                .get(index)
                .is_none_or(|zone| zone.incarnation != token.incarnation)
            {
                continue;
            }
            match token.source {
                Source::Link => self.read_link(index, now),
                Source::Output => self.read_output(index, now),
                Source::Process => self.process_ended(index, now),
                Source::Preparation => {}
            }
        }
        self.keep_deadlines(now);
        self.sync_records(now);
        let since = self.since(now);
        if self.scene.next_wake().is_some_and(|due| due <= since) {
            self.scene
                .tick(since)
                .into_iter()
                .for_each(|action| self.perform(action, now));
        }
        self.settle(now);
    }

    /// When [`Session::dispatch`] or a frame is due though nothing else happens. None: nothing is.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let zones = self.zones.iter().filter_map(Zone::deadline);
        let scene = self
            .scene
            .next_wake()
            .and_then(|due| self.began.checked_add(due));
        let frame = self
            .scene
            .needs_render(DESKTOP)
            .then(|| self.earliest_frame());
        zones.chain(scene).chain(frame).chain(self.sync_due).min()
    }

    /// True when the desktop has changed and the last frame is long enough ago.
    #[must_use]
    pub fn frame_due(&self, now: Instant) -> bool {
        self.scene.needs_render(DESKTOP) && self.earliest_frame() <= now
    }

    /// Brings a buffer up to date; gives what changed since the last frame.
    pub fn render(&mut self, target: &mut Target<'_>, now: Instant) -> &[Rect] {
        self.last_frame = Some(now);
        self.scene.render(DESKTOP, target)
    }

    /// Takes what a person did.
    pub fn input(&mut self, event: InputEvent, now: Instant) {
        let since = self.since(now);
        self.scene
            .handle(event, since)
            .into_iter()
            .for_each(|action| self.perform(action, now));
        self.settle(now);
    }

    /// The desktop has another size or scale now.
    pub fn resize(&mut self, size: Size, scale: Scale, now: Instant) {
        self.options.size = size;
        self.scene.set_output(DESKTOP, Rect::of_size(size), scale);
        self.settle(now);
    }

    /// The key that makes chords.
    #[must_use]
    pub fn host_key(&self) -> compositor::HostKey {
        self.options.settings.host_key
    }

    /// The desktop's size in pixels.
    #[must_use]
    pub fn size(&self) -> Size {
        self.options.size
    }

    /// The compositor's scene, to be looked at.
    #[must_use]
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// Everything has to be painted again.
    pub fn repaint(&mut self) {
        self.scene.damage_all();
    }

    /// Messages of zones handled so far.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// The zones in the order of the policy.
    pub fn zones(&self) -> impl Iterator<Item = ZoneView<'_>> {
        self.zones.iter().map(ZoneView)
    }

    /// The zone with this name.
    ///
    /// # Errors
    /// There is none.
    pub fn zone(&self, name: &str) -> Result<ZoneView<'_>, UnknownZone> {
        let found = self.zones.iter().find(|zone| zone.policy.name == *name);
        found.map(ZoneView).ok_or_else(|| self.unknown(name))
    }

    /// True once a shutdown is complete: no zone process is left.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn index(&self, name: &str) -> Result<usize, UnknownZone> {
        let found = self.zones.iter().position(|zone| zone.policy.name == *name);
        found.ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> UnknownZone {
        let known: Vec<&str> = self
            .zones
            .iter()
            .map(|zone| zone.policy.name.as_str())
            .collect();
        UnknownZone {
            name: name.to_owned(),
            known: known.join(", "),
        }
    }

    fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    fn earliest_frame(&self) -> Instant {
        self.last_frame.map_or(self.began, |last| last + FRAME)
    }

    /// Does what the scene asks for beside its answers to input.
    fn settle(&mut self, now: Instant) {
        self.scene
            .take_actions()
            .into_iter()
            .for_each(|action| self.perform(action, now));
        self.finish_shutdown();
    }

    fn record(&mut self, event: Record) {
        tracing::info!("{event:?}");
        let recorded = self.services.audit.record(event);
        self.recorded(recorded);
        self.sync_due.get_or_insert_with(|| Instant::now() + SYNC);
    }

    fn sync_records(&mut self, now: Instant) {
        if self.sync_due.take_if(|due| *due <= now).is_some() {
            let synced = self.services.audit.sync();
            self.recorded(synced);
        }
    }

    fn recorded(&mut self, outcome: Result<(), AuditError>) {
        if let Err(error) = outcome {
            tracing::warn!("{error}");
            self.scene.set_status(&["audit log failed"]);
        }
    }
}

impl AsFd for Session {
    /// Readable when [`Session::dispatch`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Processes are killed by their own drop; this only completes the record.
        self.record(Record::session("ended", ""));
    }
}
