//! USB devices of the running desktop: which there are, which zone has one, and by whose word.
//!
//! [`Usb`] decides nothing by itself: the policy says of each device and zone allow, ask or deny, and what it denies is never opened. Whatever
//! talks to a device, or parses what it says of itself, is a jailed `usb-redirect` process of its own; this reads the names in the kernel's list of
//! devices, and lines of text. It owns no loop and no prompt: it is told what there is ([`Around`]) and answers what is to be done ([`Act`]).
//!
//! - A device that is there when the desktop starts stays with the endpoint until a person attaches it, for it may be the only keyboard.
//! - One that is plugged in later goes to the focused zone if that may have it, or to the only one that may; a person is asked
//!   where the policy says so, once for each device, and once for all devices of a dock.
//! - What a person takes back, or says No to, stays away until it is plugged in or attached again.

mod bus;
mod ending;
mod giving;
mod holder;
mod judge;
mod order;
mod reading;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bulkhead_policy::audit::Event as Record;
use bulkhead_policy::{Decision, Engine, Moment, Permit, Prompt, Request, ZoneName};
use bus::Bus;
use holder::{Holder, Source};
use reading::Reading;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use usb_redirect::identity::{Hash, Identity};
use usb_redirect::plugged::{self, Digest, Place};

use crate::door::{self, Door};
use crate::words::Remark;

pub use judge::PolicyJudge;
pub use order::{Order, Reply};

/// The vsock port on which a guest waits for devices.
pub const GUEST_PORT: u32 = 3240;
/// After news the kernel gets so long to read the device and bind its drivers.
const SETTLE: Duration = Duration::from_millis(500);
/// How often a device is read again whose drivers are late.
const LATE_DRIVERS: u8 = 6;
/// How long a process may take to give a device back.
const LETTING_GO: Duration = Duration::from_millis(500);
/// A guest that was given a device and closed the stream so soon did not listen yet.
const DECLINED: Duration = Duration::from_secs(5);
/// How soon it is offered again, and how often.
const AGAIN: Duration = Duration::from_secs(2);
const TRIES: u8 = 15;
/// How soon a question that could not be asked is asked again, and how often.
const ASK_AGAIN: Duration = Duration::from_secs(3);
const ASKED: u8 = 10;
/// Rules that depend on the time are looked at when the next of them changes, and at least so often: the clock may be set, or have stood while
/// the machine slept.
const RECHECK: Duration = Duration::from_secs(60);
/// Notices of one device that are recorded: it or its zone must not fill the log.
const NOTICES: u8 = 8;
/// Ports of which it is remembered what was there.
const PORTS: usize = 256;

const BUS: u64 = 0;
const DOOR: u64 = 1;
const FIRST_DEVICE: u64 = 16;
const FIRST_READING: u64 = 1 << 40;

/// A device, for as long as it is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u32);

/// A question to the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionId(pub u32);

/// A zone as it is now.
#[derive(Clone, Debug)]
pub struct ZoneNow {
    /// Its name.
    pub name: ZoneName,
    /// Its guest runs, and its session is ready.
    pub is_ready: bool,
    /// It has the keyboard.
    pub has_focus: bool,
}

/// What there is beside the devices.
pub struct Around<'a> {
    /// The policy at work.
    pub engine: &'a mut Engine,
    /// The time to decide by.
    pub moment: Moment,
    /// The zones.
    pub zones: Vec<ZoneNow>,
    /// The desktop is locked: no device goes anywhere.
    pub is_locked: bool,
}

/// What is to be done.
#[derive(Debug)]
pub enum Act {
    /// The guest of this zone is connected to its [`GUEST_PORT`].
    Dial {
        /// The zone.
        zone: ZoneName,
        /// The zone's end of the stream.
        socket: OwnedFd,
    },
    /// The person is asked; [`Usb::answer`] takes the answer, or [`Usb::not_asked`].
    Ask {
        /// Which question.
        question: QuestionId,
        /// The zone that it is about.
        zone: ZoneName,
        /// The endpoint's words.
        text: Remark,
        /// What the devices call themselves. They may lie.
        detail: String,
    },
    /// The question has become pointless.
    Withdraw(QuestionId),
    /// A decision that was taken.
    Decided {
        /// On what.
        request: Box<Request>,
        /// How.
        decision: Box<Decision>,
        /// What the person said.
        answer: Option<&'static str>,
    },
    /// Something else to record.
    Record(Record),
    /// Words for the panel.
    Tell(Remark),
    /// What is plugged in is not what it was.
    Changed,
}

/// A device, to be looked at.
#[derive(Clone, Copy)]
pub struct DeviceView<'a>(DeviceId, &'a Device);

impl<'a> DeviceView<'a> {
    /// Its number.
    #[must_use]
    pub fn id(self) -> DeviceId {
        self.0
    }

    /// What it calls itself, cleaned.
    #[must_use]
    pub fn title(self) -> &'a str {
        &self.1.title
    }

    /// Where it is plugged in.
    #[must_use]
    pub fn port(self) -> &'a str {
        &self.1.port
    }

    /// What it is; none for what no zone can have.
    #[must_use]
    pub fn identity(self) -> Option<&'a Identity> {
        self.1.identity.as_ref()
    }

    /// True when a zone might have it and does not get it: a person said no, or it failed.
    #[must_use]
    pub fn is_refused(self) -> bool {
        matches!(self.1.state, State::Refused)
    }

    /// The zone that has it.
    #[must_use]
    pub fn zone(self) -> Option<&'a ZoneName> {
        match &self.1.state {
            State::Held(held) => Some(&held.zone),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Device {
    source: Source,
    port: String,
    numbers: (u16, u16, u16),
    title: String,
    identity: Option<Identity>,
    is_hub: bool,
    /// It was another device than the one at this port before.
    changed: bool,
    /// It goes to a zone by itself.
    automatic: bool,
    /// It was in this zone, and goes to no other by itself.
    home: Option<ZoneName>,
    not_before: Option<Instant>,
    asked: u8,
    state: State,
    /// What it is, is being found out.
    reading: Option<Reading>,
    /// When it is read again, because its drivers are late, and how often it was.
    read_again: Option<Instant>,
    reads: u8,
}

#[derive(Debug)]
enum State {
    /// Nobody has it.
    Waiting,
    /// The person is asked.
    Asked,
    /// A zone has it.
    Held(Box<Held>),
    /// The guest did not listen yet; it is offered again.
    Resting { until: Instant, held: Box<Given> },
    /// Its process is letting go.
    Leaving {
        // Kept so that it ends with this state.
        holder: Holder,
        kill_at: Instant,
    },
    /// It may not, and nothing is tried until something changes.
    Refused,
}

/// The right to a device.
#[derive(Debug)]
struct Given {
    permit: Permit,
    zone: ZoneName,
    tries: u8,
}

#[derive(Debug)]
struct Held {
    holder: Holder,
    permit: Permit,
    zone: ZoneName,
    tries: u8,
    since: Instant,
    notices: u8,
    last_words: String,
}

struct Question {
    zone: ZoneName,
    about: About,
}

enum About {
    /// These devices, each with the policy's own prompt.
    Attach(Vec<(DeviceId, Prompt)>),
    /// Whether a device that types faster than a person may go on.
    Typing(DeviceId),
    /// A code is to be typed on it.
    Code(DeviceId),
}

impl About {
    fn concerns(&self, id: DeviceId) -> bool {
        match self {
            Self::Attach(devices) => devices.iter().any(|(member, _)| *member == id),
            Self::Typing(device) | Self::Code(device) => *device == id,
        }
    }
}

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The program `usb-redirect`.
    pub program: PathBuf,
    /// The kernel's list of devices.
    pub devices: PathBuf,
    /// The kernel's files of devices.
    pub bus: PathBuf,
    /// The socket for [`door::ask`]; none opens no door.
    pub door: Option<PathBuf>,
}

impl Places {
    /// As they are on a Linux machine, with `usb-redirect` beside this program.
    ///
    /// # Errors
    /// This program's own place cannot be found out.
    pub fn usual(door: PathBuf) -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?.with_file_name("usb-redirect"),
            devices: plugged::DEVICES.into(),
            bus: "/dev/bus/usb".into(),
            door: Some(door),
        })
    }
}

/// The devices.
pub struct Usb {
    epoll: OwnedFd,
    bus: Bus,
    door: Option<Door>,
    places: Places,
    devices: BTreeMap<DeviceId, Device>,
    last_device: u32,
    questions: BTreeMap<QuestionId, Question>,
    last_question: u32,
    /// What was last at each port.
    ports: BTreeMap<String, Hash>,
    rescan: Option<Instant>,
    recheck: Option<Instant>,
    generation: u64,
    acts: Vec<Act>,
}

impl Usb {
    /// Looks at what is plugged in; all of that stays with the endpoint.
    ///
    /// # Errors
    /// The kernel refuses something basic, or the door cannot be opened.
    pub fn new(places: Places) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bus = Bus::watch(places.bus.clone())?;
        epoll::add(&epoll, &bus, EventData::new_u64(BUS), EventFlags::IN)?;
        let door = places.door.as_deref().map(Door::open).transpose()?;
        if let Some(door) = &door {
            epoll::add(&epoll, door, EventData::new_u64(DOOR), EventFlags::IN)?;
        }
        let mut usb = Self {
            epoll,
            bus,
            door,
            places,
            devices: BTreeMap::new(),
            last_device: 0,
            questions: BTreeMap::new(),
            last_question: 0,
            ports: BTreeMap::new(),
            rescan: None,
            recheck: None,
            generation: 0,
            acts: Vec::new(),
        };
        usb.scan(false, Instant::now());
        Ok(usb)
    }

    /// When [`dispatch`](Self::dispatch) is due though nothing else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let devices = self
            .devices
            .values()
            .filter_map(|device| match &device.state {
                State::Resting { until, .. } => Some(*until),
                State::Leaving { kill_at, .. } => Some(*kill_at),
                State::Waiting => device.not_before,
                _ => None,
            });
        let readings = self
            .devices
            .values()
            .filter_map(|device| match &device.reading {
                Some(reading) => Some(reading.until()),
                None => device.read_again,
            });
        devices
            .chain(readings)
            .chain(self.rescan)
            .chain(self.recheck)
            .min()
    }

    /// The devices that are plugged in.
    pub fn devices(&self) -> impl Iterator<Item = DeviceView<'_>> {
        self.devices
            .iter()
            .map(|(id, device)| DeviceView(*id, device))
    }

    /// Does everything that can be done now.
    #[must_use]
    pub fn dispatch(&mut self, around: &mut Around<'_>, now: Instant) -> Vec<Act> {
        for token in self.ready() {
            match token {
                BUS => {
                    if self.bus.has_changed() {
                        self.rescan = Some(now + SETTLE);
                    }
                }
                DOOR => self.serve_door(around, now),
                // Looked at below.
                FIRST_READING.. => {}
                token => {
                    let number = token.saturating_sub(FIRST_DEVICE);
                    if let Ok(number) = u32::try_from(number) {
                        self.read_notices(DeviceId(number), now);
                    }
                }
            }
        }
        if self.rescan.take_if(|due| *due <= now).is_some() {
            self.bus.watch_folders();
            self.scan(true, now);
        }
        self.take_digests(now);
        let generation = around.engine.generation();
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.forget_verdicts();
            self.recheck = Some(now);
        }
        if self.recheck.take_if(|due| *due <= now).is_some() {
            self.check_permits(around, now);
        }
        self.follow_zones(around, now);
        self.keep_deadlines(around, now);
        // A dock's devices are asked about together, so all that came are read first.
        let reads = |device: &Device| device.reading.is_some();
        if !around.is_locked && !self.devices.values().any(reads) {
            self.consider(around, now);
        }
        let any_held = |device: &Device| matches!(device.state, State::Held(_));
        if self.recheck.is_none() && self.devices.values().any(any_held) {
            let edge = judge::next_edge(around.engine.policy(), around.moment);
            self.recheck = edge.map(|edge| now + edge.min(RECHECK));
        }
        std::mem::take(&mut self.acts)
    }

    /// Gives a device to a zone, if the policy lets it, or after the person was asked. The answer says what comes of it.
    ///
    /// # Errors
    /// With the sentence to show.
    pub fn attach(
        &mut self,
        id: DeviceId,
        zone: &str,
        around: &mut Around<'_>,
        now: Instant,
    ) -> Result<Remark, Remark> {
        let device = self.devices.get(&id).ok_or(Remark::DeviceGone)?;
        let title = device.title.clone();
        if !matches!(device.state, State::Waiting | State::Refused) {
            return Err(Remark::DeviceBusy(title));
        }
        let known = around.zones.iter().find(|known| known.name == *zone);
        let zone = match known {
            Some(zone) if zone.is_ready => zone.name.clone(),
            Some(_) => return Err(Remark::ZoneOff(zone.to_owned())),
            None => return Err(Remark::NoZone(zone.to_owned())),
        };
        let attempt = self.attempt(id, &zone, around, now)?;
        let reply = match attempt {
            None => Remark::ZoneHas {
                zone: zone.to_string(),
                device: title,
            },
            Some(prompt) => {
                self.ask(vec![(id, zone, prompt)]);
                Remark::PersonAsked
            }
        };
        if let Some(device) = self.devices.get_mut(&id) {
            device.automatic = true;
        }
        Ok(reply)
    }

    /// Takes a device back; it stays with the endpoint.
    pub fn detach(&mut self, id: DeviceId, now: Instant) {
        if let Some(device) = self.devices.get_mut(&id) {
            device.automatic = false;
            device.home = None;
            self.let_go(id, Remark::PersonTookBack, now);
            self.drop_questions(id);
        }
    }

    /// Takes everything back at once: the emergency chord.
    pub fn detach_all(&mut self, now: Instant) {
        let all: Vec<DeviceId> = self.devices.keys().copied().collect();
        for id in all {
            self.detach(id, now);
        }
    }

    /// Plugs in a device that exists in memory, as if it had come just now.
    ///
    /// # Errors
    /// With the sentence to show.
    pub fn simulate(&mut self, descriptors: &Path, script: Option<&Path>, now: Instant) -> Reply {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let descriptors = absolute(descriptors)?;
        let script = script.map(absolute).transpose()?;
        let id = self.next_device();
        // The kernel counts buses from 1.
        let port = format!("0-{}", id.0);
        let reply = format!("it is plugged in at {port}");
        let source = Source::Simulated {
            descriptors,
            script,
        };
        self.add(id, source, port, true, now);
        Ok(reply)
    }

    /// Takes the person's answer.
    #[must_use]
    pub fn answer(
        &mut self,
        question: QuestionId,
        yes: bool,
        around: &mut Around<'_>,
        now: Instant,
    ) -> Vec<Act> {
        if let Some(Question { zone, about }) = self.questions.remove(&question) {
            match about {
                About::Attach(devices) => {
                    for (id, prompt) in devices {
                        self.answered(id, zone.clone(), prompt, yes, around, now);
                    }
                }
                About::Typing(id) if yes => {
                    if let Some(Device {
                        state: State::Held(held),
                        ..
                    }) = self.devices.get(&id)
                    {
                        held.holder.resume();
                    }
                }
                // Yes only says that it was seen: the code is still to be typed.
                About::Code(_) if yes => {}
                About::Typing(id) | About::Code(id) => self.detach(id, now),
            }
        }
        std::mem::take(&mut self.acts)
    }

    /// The question could not be asked now: it is asked again, a few times.
    pub fn not_asked(&mut self, question: QuestionId, now: Instant) {
        let Some(Question { about, .. }) = self.questions.remove(&question) else {
            return;
        };
        match about {
            About::Attach(devices) => {
                for (id, _) in devices {
                    if let Some(device) = self.devices.get_mut(&id) {
                        device.asked = device.asked.saturating_add(1);
                        device.not_before = Some(now + ASK_AGAIN);
                        device.state = if device.asked < ASKED {
                            State::Waiting
                        } else {
                            State::Refused
                        };
                    }
                }
            }
            // Without a person nobody vouches for it.
            About::Typing(id) | About::Code(id) => self.detach(id, now),
        }
    }

    fn ready(&self) -> Vec<u64> {
        let mut events: Vec<Event> = Vec::with_capacity(64);
        let no_wait = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if let Err(error) = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&no_wait))
            && error != rustix::io::Errno::INTR
        {
            tracing::error!("waiting for USB devices failed: {error}");
        }
        events.iter().map(|event| event.data.u64()).collect()
    }

    fn next_device(&mut self) -> DeviceId {
        self.last_device = self.last_device.wrapping_add(1);
        DeviceId(self.last_device)
    }

    /// Reads the names in the kernel's list.
    fn scan(&mut self, automatic: bool, now: Instant) {
        let list = match plugged::places(&self.places.devices) {
            Ok(list) => list,
            Err(error) => {
                tracing::warn!("USB devices cannot be listed: {error}");
                return;
            }
        };
        let is = |device: &Device, place: &Place| match &device.source {
            Source::Node { node, port, .. } => *node == place.node && *port == place.port,
            Source::Simulated { .. } => false,
        };
        let gone = |device: &Device| {
            matches!(device.source, Source::Node { .. })
                && !list.iter().any(|place| is(device, place))
        };
        let gone: Vec<DeviceId> = self
            .devices
            .iter()
            .filter_map(|(id, device)| gone(device).then_some(*id))
            .collect();
        for id in gone {
            self.drop_questions(id);
            self.acts.push(Act::Changed);
            if let Some(device) = self.devices.remove(&id)
                && let State::Held(held) = device.state
            {
                self.tell_end(&held.zone, &device.title, Remark::PulledOut);
            }
        }
        for place in list {
            let known = self.devices.values_mut().find(|device| is(device, &place));
            if let Some(known) = known {
                // Its drivers may have come since, and go while a process has it.
                if known.identity.is_none() && known.reading.is_none() && !known.is_hub {
                    known.read_again = Some(now);
                    known.reads = 0;
                }
                continue;
            }
            let id = self.next_device();
            let source = Source::Node {
                node: place.node,
                port: place.port.clone(),
                folder: place.folder,
            };
            self.add(id, source, place.port, automatic, now);
        }
    }

    /// A device that nobody has read yet.
    fn add(&mut self, id: DeviceId, source: Source, port: String, automatic: bool, now: Instant) {
        let device = Device {
            source,
            title: format!("USB {port}"),
            port,
            numbers: (0, 0, 0),
            identity: None,
            is_hub: false,
            changed: false,
            automatic,
            home: None,
            not_before: None,
            asked: 0,
            state: State::Waiting,
            reading: None,
            read_again: None,
            reads: 0,
        };
        self.devices.insert(id, device);
        self.read(id, now);
    }

    /// Starts the process that reads a device.
    fn read(&mut self, id: DeviceId, now: Instant) {
        let Some(device) = self.devices.get_mut(&id) else {
            return;
        };
        device.read_again = None;
        let started = Reading::start(&self.places.program, device.source.says(), now);
        let watched = started.and_then(|reading| {
            let token = EventData::new_u64(FIRST_READING.saturating_add(id.0.into()));
            epoll::add(&self.epoll, &reading, token, EventFlags::IN)?;
            Ok(reading)
        });
        match watched {
            Ok(reading) => device.reading = Some(reading),
            Err(error) => {
                let program = self.places.program.display();
                tracing::warn!("{program} cannot be started: {error}");
            }
        }
    }

    /// Takes what was found out about devices.
    fn take_digests(&mut self, now: Instant) {
        let ids: Vec<DeviceId> = self.devices.keys().copied().collect();
        for id in ids {
            let Some(device) = self.devices.get_mut(&id) else {
                continue;
            };
            if device.read_again.is_some_and(|due| due <= now) {
                self.read(id, now);
            } else if let Some(reading) = &mut device.reading
                && let Some(result) = reading.result(&device.port, now)
            {
                device.reading = None;
                self.described(id, result, now);
            }
        }
    }

    fn described(&mut self, id: DeviceId, result: Result<Digest, String>, now: Instant) {
        let Some(device) = self.devices.get_mut(&id) else {
            return;
        };
        self.acts.push(Act::Changed);
        let digest = match result {
            Ok(digest) => digest,
            Err(why) => {
                let told = Remark::DeviceUnreadable {
                    device: device.title.clone(),
                    why,
                };
                tracing::warn!("{told}");
                if matches!(device.source, Source::Simulated { .. }) {
                    self.acts.push(Act::Tell(told));
                }
                return;
            }
        };
        device.numbers = digest.numbers;
        device.is_hub = digest.is_hub;
        device.title = digest.title();
        match digest.identity {
            Ok(identity) => {
                device.changed = note_port(&mut self.ports, &device.port, &identity);
                device.identity = Some(identity);
            }
            // The kernel has not read everything yet.
            Err(_) if digest.is_hid && device.reads < LATE_DRIVERS => {
                device.reads = device.reads.saturating_add(1);
                device.read_again = Some(now + SETTLE);
            }
            Err(_) => {}
        }
    }

    fn serve_door(&mut self, around: &mut Around<'_>, now: Instant) {
        // One in each turn: whoever floods the door waits for everything else.
        let Some((stream, order)) = self.door.as_ref().and_then(Door::next) else {
            return;
        };
        let reply = match order {
            Order::Attach { device, zone } => self.find(&device).and_then(|id| {
                let words = |remark: Remark| remark.to_string();
                self.attach(id, &zone, around, now)
                    .map(words)
                    .map_err(words)
            }),
            Order::Detach { device: None } => {
                self.detach_all(now);
                Ok("everything is taken back".to_owned())
            }
            Order::Detach {
                device: Some(device),
            } => self.find(&device).map(|id| {
                self.detach(id, now);
                "it is taken back".to_owned()
            }),
            Order::Simulate {
                descriptors,
                script,
            } => self.simulate(&descriptors, script.as_deref(), now),
        };
        door::answer(&stream, &reply);
    }

    fn find(&self, name: &str) -> Result<DeviceId, String> {
        let mut found = self.devices.iter().filter(|(_, device)| {
            let (vendor, product, _) = device.numbers;
            device.port == name || format!("{vendor:04x}:{product:04x}") == name
        });
        match (found.next(), found.next()) {
            (Some((id, _)), None) => Ok(*id),
            (None, _) => Err(format!(
                "there is no USB device {name}; `bulkhead usb list` shows what there is"
            )),
            (Some(_), Some(_)) => Err(format!(
                "there is more than one USB device {name}; name its port"
            )),
        }
    }
}

impl AsFd for Usb {
    /// Readable when [`Usb::dispatch`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Remembers what is at a port. True when another device was there before.
fn note_port(ports: &mut BTreeMap<String, Hash>, port: &str, identity: &Identity) -> bool {
    let now = identity.fingerprint();
    if ports.len() >= PORTS && !ports.contains_key(port) {
        return true;
    }
    let before = ports.insert(port.to_owned(), now);
    before.is_some_and(|before| before != now)
}
