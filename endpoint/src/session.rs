//! The core of the endpoint: zones with their processes on one side, the compositor on the other, and nothing of a window or a loop.
//!
//! A presenter waits for [`Session::as_fd`] or [`Session::next_deadline`], calls [`Session::dispatch`], and paints when
//! [`Session::frame_due`] says so. When nothing happens there is no deadline and nothing wakes anybody.
//!
//! Invariants: a zone that breaks the protocol is killed, recorded and dark before its next message would be read; no zone can make
//! the session wait; what one zone does costs from its own budget.

mod devices;
mod events;
mod jail;
mod launch;
mod lifecycle;
mod lock;
mod meter;
mod orders;
mod pages;
mod policy;
mod process;
mod screen;
mod screenshot;
mod transfer;
mod watch;
mod zone;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bulkhead_policy::audit::AuditError;
use bulkhead_policy::{Engine, Policy, Standing, Timestamp, WhenFull};
use compositor::{InputEvent, OutputId, Rect, Scale, Scene, Settings, Size, Target, ZoneId};
use trusted_pages::Pages;
use zone_jail::Layers;

use crate::audit::{Audit, Event as Record};
use crate::clock;
use crate::door::Door;
use crate::images::{ImageError, ImageSource, OpenImage};
use crate::policy_source::{PolicySource, PolicyWatch};
use crate::state_directory::StateDirectory;
use crate::windows::Windows;
use crate::words::Remark;
use devices::Devices;
use lock::{Hold, Lock};
use screenshot::Screenshot;
use transfer::{Clip, Transfer};
use watch::{Source, Watch};
use zone::Zone;

pub use jail::required_layers;
pub use launch::{Launcher, installed_zone_program};
pub use meter::{STAGES, Stages};
pub use orders::{ZoneLine, ZoneOrder};
pub use screenshot::WantedPicture;
pub use zone::{Status, ZoneView};

/// The first screen, which there always is: pictures are taken of it.
pub const DESKTOP: OutputId = OutputId(0);

/// The shortest time between two frames.
const FRAME: Duration = Duration::from_micros(16_600);
/// How long a record may wait to be synced: several then cost one sync.
const SYNC: Duration = Duration::from_secs(1);
/// How soon a log that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

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
    /// Whether the panel has a clock, which wakes the endpoint once a minute.
    pub clock: bool,
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
            clock: false,
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
    /// Where the policy is from, and whence the next one comes.
    pub policy: PolicySource,
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
    /// So many outputs the scene has, numbered from [`DESKTOP`] on.
    screens: u32,
    /// The compositor counts time from here.
    began: Instant,
    last_frame: Option<Instant>,
    finished: mpsc::Receiver<Finished>,
    finisher: mpsc::Sender<Finished>,
    shutting_down: bool,
    ended: bool,
    messages: u64,
    /// When the audit log is to be synced.
    sync_due: Option<Instant>,
    /// Whether the last record could be written.
    records_work: bool,
    engine: Engine,
    policy_watch: Option<PolicyWatch>,
    /// Why the last new policy was not taken.
    policy_trouble: Option<String>,
    standing: Standing,
    /// When the policy's standing is another by itself.
    standing_due: Option<Instant>,
    /// The latest time of day that was seen, and the one that the policy's store was last told.
    clock: Timestamp,
    seen: Timestamp,
    /// Words for the panel, and until when they stand there.
    notice: Option<(Remark, Instant)>,
    lock: Lock,
    pages: Pages,
    reading: pages::Reading,
    /// The key whose way is measured.
    meter: Option<meter::Meter>,
    /// When the panel's clock moves on.
    clock_due: Option<Instant>,
    /// Who had the keyboard last, and until when; no end while it has it.
    keyboard: Option<(ZoneId, Option<Instant>)>,
    /// What a person copied last.
    clip: Option<Clip>,
    transfer: Option<Transfer>,
    /// A picture while it is decided who is in it, and one that is to be taken.
    screenshot: Option<Screenshot>,
    wanted_picture: Option<WantedPicture>,
    /// Where windows are, as it was kept last.
    windows: Windows,
    /// USB devices; none where the desktop has nothing to do with them.
    devices: Option<Devices>,
    /// Where programs order zones to start and stop.
    door: Option<Door>,
}

/// What a thread of the session did.
enum Finished {
    Image(Prepared),
    Unlock(lock::Attempt),
    Log(pages::Found),
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
    pub fn new(policy: Policy, services: Services, options: Options) -> Result<Self, SessionError> {
        policy::showable(&policy)?;
        let watch = Watch::new().map_err(|errno| SessionError::Watch(errno.into()))?;
        let (finisher, finished) = mpsc::channel();
        let now = Instant::now();
        let mut session = Self {
            scene: Scene::new(options.size, options.scale, options.settings),
            zones: Vec::new(),
            watch,
            services,
            required: required_layers(&policy.jail.required),
            options,
            screens: 1,
            began: now,
            last_frame: None,
            finished,
            finisher,
            shutting_down: false,
            ended: false,
            messages: 0,
            sync_due: None,
            records_work: true,
            engine: Engine::new(policy),
            policy_watch: None,
            policy_trouble: None,
            standing: Standing::InForce,
            standing_due: None,
            clock: clock::timestamp(),
            seen: clock::timestamp(),
            notice: None,
            lock: Lock::new(now),
            pages: Pages::default(),
            reading: pages::Reading::default(),
            meter: None,
            clock_due: None,
            keyboard: None,
            clip: None,
            transfer: None,
            screenshot: None,
            wanted_picture: None,
            windows: Windows::default(),
            devices: None,
            door: None,
        };
        session.windows = session.services.state.windows();
        for zone in session.policy().zones.clone() {
            session.add_zone(zone);
        }
        session.apply_input();
        session.lock_at_start();
        let source = session.services.policy.path().display().to_string();
        session.record(Record::session("started", &source));
        session.record(Record::policy("at-work", session.policy(), ""));
        session.judge_standing(now);
        session.watch_policy();
        // Another may have been installed since this one was read.
        session.load_policy(now);
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
            match token.source {
                Source::Bell => self.take_finished(now),
                Source::Policy => self.take_policy(now),
                Source::Door => self.serve_door(now),
                // They are looked at below, after the zones.
                Source::Link | Source::Output | Source::Process | Source::Devices => {}
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
                Source::Bell | Source::Policy | Source::Devices | Source::Door => {}
            }
        }
        self.keep_deadlines(now);
        self.keep_time(now);
        self.keep_clock(now);
        self.keep_lock(now);
        self.keep_transfer(now);
        self.keep_devices(now);
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
        self.next_step().into_iter().chain(self.next_frame()).min()
    }

    /// When [`Session::dispatch`] is due: for a presenter that cannot take a frame now.
    #[must_use]
    pub fn next_step(&self) -> Option<Instant> {
        let zones = self.zones.iter().filter_map(Zone::deadline);
        let scene = [self.scene.next_wake(), self.pages.next_wake()];
        let scene = scene
            .into_iter()
            .flatten()
            .filter_map(|due| self.began.checked_add(due));
        let others = [
            self.sync_due,
            self.standing_due,
            self.clock_due,
            self.notice.as_ref().map(|(_, until)| *until),
            self.lock_due(),
            self.devices_due(),
            self.transfer.as_ref().map(Transfer::deadline),
        ];
        let others = others.into_iter().flatten();
        zones.chain(scene).chain(others).min()
    }

    /// When a frame is due. None: nothing has changed.
    #[must_use]
    pub fn next_frame(&self) -> Option<Instant> {
        let changed = (0..self.screens).any(|screen| self.scene.needs_render(OutputId(screen)));
        changed.then(|| self.earliest_frame())
    }

    /// True when the desktop has changed and the last frame is long enough ago.
    #[must_use]
    pub fn frame_due(&self, now: Instant) -> bool {
        self.next_frame().is_some_and(|due| due <= now)
    }

    /// Brings a buffer of a screen up to date; gives what changed since its last frame.
    pub fn render(&mut self, screen: OutputId, target: &mut Target<'_>, now: Instant) -> &[Rect] {
        self.last_frame = Some(now);
        self.paint_begins();
        self.scene.render(screen, target);
        self.paint_ends();
        self.scene.presented(screen)
    }

    /// Lets another painter bring a screen up to date, as [`Session::render`] does on the processor.
    #[cfg(feature = "gpu")]
    pub fn render_by<T>(&mut self, now: Instant, paint: impl FnOnce(&mut Scene) -> T) -> T {
        self.last_frame = Some(now);
        self.paint_begins();
        let painted = paint(&mut self.scene);
        self.paint_ends();
        painted
    }

    /// Takes what a person did.
    pub fn input(&mut self, event: InputEvent, now: Instant) {
        self.notice_input(now);
        let since = self.since(now);
        self.scene
            .handle(event, since)
            .into_iter()
            .for_each(|action| self.perform(action, now));
        self.settle(now);
    }

    /// The window that the desktop is in has another size or scale now.
    pub fn resize(&mut self, size: Size, scale: Scale, now: Instant) {
        self.place_screens(&[(size, scale)]);
        self.settle(now);
    }

    /// The desktop is shown on these screens now, from left to right, numbered from [`DESKTOP`] on. Where none is left it stays as it
    /// was on the first one, for the screen that comes next. Whoever plugs screens may not be the one who unlocked the desktop: it is
    /// locked where it can be.
    pub fn set_screens(&mut self, screens: &[(Size, Scale)], now: Instant) {
        self.lock_for_screens();
        self.place_screens(screens);
        self.settle(now);
    }

    fn place_screens(&mut self, screens: &[(Size, Scale)]) {
        let Some((first, _)) = screens.first() else {
            return;
        };
        self.options.size = *first;
        let mut left = 0;
        let mut count = 0;
        for (size, scale) in screens {
            let area = Rect::new(left, 0, size.width, size.height);
            self.scene.set_output(OutputId(count), area, *scale);
            left = area.right();
            count = count.saturating_add(1);
        }
        for surplus in count..self.screens {
            self.scene.remove_output(OutputId(surplus));
        }
        self.screens = count;
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

    /// The zones of the policy at work.
    pub fn zones(&self) -> impl Iterator<Item = ZoneView<'_>> {
        self.present().map(ZoneView)
    }

    fn present(&self) -> impl Iterator<Item = &Zone> {
        self.zones.iter().filter(|zone| !zone.withdrawn)
    }

    /// The zone with this name.
    ///
    /// # Errors
    /// There is none.
    pub fn zone(&self, name: &str) -> Result<ZoneView<'_>, UnknownZone> {
        let found = self.present().find(|zone| zone.policy.name == *name);
        found.map(ZoneView).ok_or_else(|| self.unknown(name))
    }

    /// True once a shutdown is complete: no zone process is left.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn index(&self, name: &str) -> Result<usize, UnknownZone> {
        let is_it = |zone: &Zone| !zone.withdrawn && zone.policy.name == *name;
        let found = self.zones.iter().position(is_it);
        found.ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> UnknownZone {
        let known: Vec<&str> = self
            .present()
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
        self.turn_page(now);
        self.finish_shutdown();
    }

    /// Writes a record; false when that failed, which the panel then says.
    fn record(&mut self, event: Record) -> bool {
        tracing::info!("{event:?}");
        let recorded = self.services.audit.record(event);
        let written = self.recorded(recorded);
        let wait = if written { SYNC } else { RETRY };
        self.sync_due.get_or_insert_with(|| Instant::now() + wait);
        written
    }

    fn sync_records(&mut self, now: Instant) {
        if self.sync_due.take_if(|due| *due <= now).is_none() {
            return;
        }
        self.keep_windows();
        if !self.records_work {
            // There may be room again; if so, this record is behind the one of the gap.
            self.record(Record::session("audit-resumed", ""));
        } else if let Err(error) = self.services.audit.sync() {
            self.recorded(Err(error));
            self.sync_due = Some(now + RETRY);
        }
    }

    /// Keeps where windows are for the next time. It is done beside what happens anyhow: a window that moves wakes nobody for it.
    fn keep_windows(&mut self) {
        let mut windows = self.windows.clone();
        for zone in self.present() {
            if let Some(placement) = self.scene.placement(zone.id) {
                windows.note(zone.policy.name.as_str(), placement);
            }
        }
        if windows == self.windows {
            return;
        }
        if let Err(error) = self.services.state.keep_windows(&windows) {
            tracing::warn!("the places of windows could not be kept: {error}");
        }
        self.windows = windows;
    }

    /// While records cannot be written, flows that need one are denied, and zones are covered if the policy says so.
    fn recorded(&mut self, outcome: Result<(), AuditError>) -> bool {
        if let Err(error) = &outcome {
            tracing::warn!("{error}");
        }
        let works = outcome.is_ok();
        if std::mem::replace(&mut self.records_work, works) != works {
            self.engine.set_records_possible(works);
            let covers = self.policy().audit.when_full == WhenFull::LockZones;
            self.hold(Hold::Audit, !works && covers);
            self.show_status();
        }
        works
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
        self.keep_windows();
        // Processes are killed by their own drop; this only completes the record.
        self.record(Record::session("ended", ""));
    }
}
