//! A session to be tested: two zones whose processes behave as told, everything recorded, nothing waits for ever.

use std::collections::HashMap;
use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bulkhead_policy::Image;
use bulkhead_policy::audit::{AuditError, FlowRecord};
use compositor::{InputEvent, KeyMovement, Point};
use endpoint::audit::{Audit, AuditMemory, Event};
use endpoint::images::{ImageError, ImageSource, OpenImage};
use endpoint::policy_source::PolicySource;
use endpoint::present::picture::Canvas;
use endpoint::state_directory::StateDirectory;
use endpoint::{Options, Services, Session, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const LEFT_SUPER: u16 = 125;

/// Two zones; the jail requires what `required` says.
pub(crate) fn policy_text(required: &str, more: &str) -> String {
    let zone = |name: &str, colour: &str, shape: &str| {
        format!(
            "[zone.{name}]\ncolour = \"{colour}\"\nshape = \"{shape}\"\nimage = \"desk\"\nautostart = true\nmemory = \"256 MiB\"\n{more}\n"
        )
    };
    format!(
        "[jail]\nrequired = [{required}]\n{}{}",
        zone("open", "#2e7d32", "circle"),
        zone("corp", "#c62828", "hexagon")
    )
}

pub(crate) struct Desk {
    pub(crate) session: Session,
    pub(crate) records: Arc<Mutex<Vec<Event>>>,
    pub(crate) canvas: Canvas,
    /// Set, no record can be written.
    pub(crate) disk_is_full: Arc<AtomicBool>,
    pub(crate) state: tempfile::TempDir,
}

/// A log in memory, on a disk that can be full.
struct FillableAudit {
    memory: AuditMemory,
    is_full: Arc<AtomicBool>,
}

impl Audit for FillableAudit {
    fn ended_in_order(&self) -> bool {
        true
    }

    fn record(&mut self, event: Event) -> Result<(), AuditError> {
        match self.is_full.load(Ordering::Relaxed) {
            true => Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into()),
            false => self.memory.record(event),
        }
    }

    fn sync(&mut self) -> Result<(), AuditError> {
        self.memory.sync()
    }
}

/// How a desk is set up.
pub(crate) struct Setting<'a> {
    /// `(zone, behaviour)`; zones that are not named are honest.
    pub(crate) behaviours: &'a [(&'a str, &'a str)],
    pub(crate) required: &'a str,
    pub(crate) zone_keys: &'a str,
    pub(crate) shutdown_after: Duration,
    /// Set before the desktop starts.
    pub(crate) passphrase: Option<&'a str>,
}

impl Default for Setting<'_> {
    fn default() -> Self {
        Self {
            behaviours: &[],
            required: "\"seccomp\", \"user\"",
            zone_keys: "",
            shutdown_after: Duration::from_secs(20),
            passphrase: None,
        }
    }
}

/// Every image is this program, three times.
struct AnyImage;

impl ImageSource for AnyImage {
    fn find(&self, _: &Image) -> Result<(), ImageError> {
        Ok(())
    }

    fn open(&self, image: &Image) -> Result<OpenImage, ImageError> {
        if image.name.as_deref() == Some("damaged") {
            return Err(ImageError {
                message: "its kernel is not what it was".into(),
                mend: endpoint::words::ImageMend::Add,
            });
        }
        let file = || File::open(std::env::current_exe().unwrap()).unwrap();
        Ok(OpenImage {
            identity: "0".repeat(64),
            arguments: "image.argument=1".to_owned(),
            kernel: file(),
            initramfs: file(),
            root: file(),
        })
    }
}

impl Desk {
    /// Both zones honest.
    pub(crate) fn new() -> Self {
        Self::with(&Setting::default())
    }

    /// One zone behaves so; the other is honest.
    pub(crate) fn attacked(zone: &str, behaviour: &str) -> Self {
        Self::with(&Setting {
            behaviours: &[(zone, behaviour)],
            ..Setting::default()
        })
    }

    pub(crate) fn with(setting: &Setting<'_>) -> Self {
        Self::with_policy(&policy_text(setting.required, setting.zone_keys), setting)
    }

    pub(crate) fn with_policy(text: &str, setting: &Setting<'_>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let source = PolicySource::File(state.path().join("policy.toml"));
        std::fs::write(source.path(), text).unwrap();
        Self::begin(state, source, setting)
    }

    /// With a policy from elsewhere.
    pub(crate) fn with_source(source: PolicySource, setting: &Setting<'_>) -> Self {
        Self::begin(tempfile::tempdir().unwrap(), source, setting)
    }

    fn begin(state: tempfile::TempDir, source: PolicySource, setting: &Setting<'_>) -> Self {
        let policy = source
            .load()
            .unwrap_or_else(|error| panic!("{error}"))
            .policy;
        let memory = AuditMemory::default();
        let records = Arc::clone(&memory.events);
        let disk_is_full = Arc::new(AtomicBool::new(false));
        let audit = FillableAudit {
            memory,
            is_full: Arc::clone(&disk_is_full),
        };
        let directory = StateDirectory::open(state.path()).unwrap();
        if let Some(passphrase) = setting.passphrase {
            directory.passphrase().set(passphrase).unwrap();
        }
        let behaviours: HashMap<String, String> = setting
            .behaviours
            .iter()
            .map(|(zone, behaviour)| ((*zone).to_owned(), (*behaviour).to_owned()))
            .collect();
        let services = Services {
            images: Arc::new(AnyImage),
            audit: Box::new(audit),
            launcher: Box::new(move |zone| {
                let mut command = Command::new(std::env::current_exe().unwrap());
                if let Some(behaviour) = behaviours.get(zone) {
                    command.args(["--behave", behaviour]);
                }
                command
            }),
            state: directory,
            policy: source,
        };
        let options = Options {
            shutdown_after: setting.shutdown_after,
            log_consoles: true,
            ..Options::default()
        };
        let mut session = Session::new(policy, services, options).unwrap();
        session.start_automatic_zones();
        Self {
            session,
            records,
            canvas: Canvas::default(),
            disk_is_full,
            state,
        }
    }

    /// The same desktop started anew: only what is in its state directory is left.
    pub(crate) fn started_anew(self) -> Self {
        let Self { session, state, .. } = self;
        drop(session);
        let source = PolicySource::File(state.path().join("policy.toml"));
        Self::begin(state, source, &Setting::default())
    }

    /// Writes another policy, as an administrator does.
    pub(crate) fn write_policy(&mut self, text: &str) {
        std::fs::write(self.state.path().join("policy.toml"), text).unwrap();
    }

    /// The same, and waits until it is at work.
    pub(crate) fn install(&mut self, text: &str) {
        let before = self.session.policy_generation();
        self.write_policy(text);
        self.until("the new policy", |session| {
            session.policy_generation() > before
        });
    }

    /// Runs the session for a while.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        self.until("time to pass", |_| Instant::now() >= end);
    }

    /// Every record, as its debug text.
    pub(crate) fn recorded(&self) -> Vec<String> {
        let records = self.records.lock().unwrap();
        records.iter().map(|event| format!("{event:?}")).collect()
    }

    /// The records of flows.
    pub(crate) fn flows(&self) -> Vec<FlowRecord> {
        let records = self.records.lock().unwrap();
        let flow = |event: &Event| match event {
            Event::Flow(flow) => Some((**flow).clone()),
            _ => None,
        };
        records.iter().filter_map(flow).collect()
    }

    /// Runs the session until `met`; fails the test when that takes too long.
    pub(crate) fn until(&mut self, what: &str, mut met: impl FnMut(&Session) -> bool) {
        let give_up = Instant::now() + PATIENCE;
        // What is awaited may be time itself.
        let look = Duration::from_millis(50);
        loop {
            let now = Instant::now();
            self.session.dispatch(now);
            if self.session.frame_due(now) {
                self.canvas.paint(&mut self.session, true, now);
            }
            if met(&self.session) {
                return;
            }
            assert!(
                now < give_up,
                "waited in vain for {what}; {}",
                self.describe()
            );
            self.wait(give_up.min(now + look));
        }
    }

    /// Sleeps until the session has something to do, or is due, or until `give_up`.
    pub(crate) fn wait(&self, give_up: Instant) {
        let deadline = self.session.next_deadline().unwrap_or(give_up).min(give_up);
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap(),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut watched = [PollFd::new(&self.session, PollFlags::IN)];
        let _ = poll(&mut watched, Some(&timeout));
    }

    pub(crate) fn describe(&self) -> String {
        let zone = |zone: endpoint::ZoneView<'_>| {
            format!(
                "{} is {:?}, console: {:?}",
                zone.name(),
                zone.status(),
                zone.console().tail(600)
            )
        };
        self.session
            .zones()
            .map(zone)
            .collect::<Vec<_>>()
            .join("; ")
    }

    pub(crate) fn until_ready(&mut self, zone: &str) {
        self.until(&format!("{zone} to be ready"), |session| {
            session.zone(zone).unwrap().is_ready()
        });
    }

    pub(crate) fn until_status(&mut self, zone: &str, word: &str) {
        self.until(&format!("{zone} to be {word}"), |session| {
            session.zone(zone).unwrap().status().word() == word
        });
    }

    pub(crate) fn until_console(&mut self, zone: &str, text: &str) {
        let view = |session: &Session| {
            session
                .zone(zone)
                .unwrap()
                .console()
                .find(text.as_bytes(), 0)
                .is_some()
        };
        self.until(&format!("{zone} to write {text:?}"), view);
    }

    pub(crate) fn console(&self, zone: &str) -> String {
        self.session.zone(zone).unwrap().console().tail(200_000)
    }

    pub(crate) fn status(&self, zone: &str) -> Status {
        self.session.zone(zone).unwrap().status().clone()
    }

    pub(crate) fn keys(&mut self, codes: &[u16]) {
        let now = Instant::now();
        for code in codes {
            self.session.input(
                InputEvent::Key {
                    code: *code,
                    movement: KeyMovement::Pressed,
                },
                now,
            );
        }
        for code in codes.iter().rev() {
            self.session.input(
                InputEvent::Key {
                    code: *code,
                    movement: KeyMovement::Released,
                },
                now,
            );
        }
    }

    /// Gives a zone the keyboard by its chord: `open` is the first, `corp` the second.
    pub(crate) fn focus(&mut self, zone: &str) {
        let digit = if zone == "open" { 2 } else { 3 };
        self.keys(&[LEFT_SUPER, digit]);
    }

    pub(crate) fn type_text(&mut self, text: &str) {
        for character in text.chars() {
            let stroke = endpoint::script::keyboard::stroke(character).unwrap();
            self.keys(&[stroke.code]);
        }
    }

    /// The corner of a zone's pixels on the desktop, and the colour of the pixel at an offset from it, as painted now.
    pub(crate) fn pixel(&mut self, zone: &str, x: i32, y: i32) -> u32 {
        let id = self.session.zone(zone).unwrap().id();
        let client = self.session.scene().client_rect(id).unwrap();
        self.canvas.paint(&mut self.session, true, Instant::now());
        let at = Point::new(client.left() + x, client.top() + y);
        let width = usize::try_from(self.canvas.size().width).unwrap();
        let index = usize::try_from(at.y).unwrap() * width + usize::try_from(at.x).unwrap();
        self.canvas.pixels()[index] & 0x00ff_ffff
    }

    /// True when a zone's window shows its own colour in the middle of its client area, where no pointer is.
    pub(crate) fn shows_its_colour(&mut self, zone: &str) -> bool {
        self.pixel(zone, 200, 100) == crate::zone::colour_of(zone)
    }

    pub(crate) fn records_of(&self, zone: &str) -> Vec<Event> {
        let of_zone =
            |event: &&Event| matches!(event, Event::Zone { zone: name, .. } if name == zone);
        self.records
            .lock()
            .unwrap()
            .iter()
            .filter(of_zone)
            .cloned()
            .collect()
    }

    /// The recorded reason for which a zone was killed.
    pub(crate) fn recorded_kill(&self, zone: &str) -> Option<String> {
        self.records_of(zone)
            .into_iter()
            .find_map(|event| match event {
                Event::Zone { act, detail, .. } if act == "killed" && !detail.is_empty() => {
                    Some(detail)
                }
                _ => None,
            })
    }

    /// The other zone lives: it gets keys, paints, and shows on the desktop.
    pub(crate) fn assert_goes_on(&mut self, zone: &str) {
        self.until_ready(zone);
        self.focus(zone);
        let before = self.console(zone).matches("key 30 down").count();
        self.keys(&[30]);
        let enough = |session: &Session| {
            let console = session.zone(zone).unwrap().console().tail(200_000);
            console.matches("key 30 down").count() > before
        };
        self.until(&format!("{zone} to go on"), enough);
        assert!(
            self.shows_its_colour(zone),
            "{zone} does not show its pixels"
        );
    }
}
