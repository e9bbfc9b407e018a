//! USB devices of the running desktop: which there are, which zone has one, and by whose word.
//!
//! [`Usb`] decides nothing by itself: the policy says of each device and zone allow, ask or deny, and what it denies is never opened. Whatever
//! talks to a device is a jailed `usb-redirect` process of its own; this reads the kernel's list of devices, and lines of text. It owns no loop and
//! no prompt: it is told what there is ([`Around`]) and answers what is to be done ([`Act`]).
//!
//! - A device that is there when the desktop starts stays with the endpoint until a person attaches it, for it may be the only keyboard.
//! - One that is plugged in later goes to the focused zone if that may have it, or to the only one that may; a person is asked
//!   where the policy says so, once for each device, and once for all devices of a dock.
//! - What a person takes back, or says No to, stays away until it is plugged in or attached again.

mod bus;
mod door;
mod holder;
mod judge;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bulkhead_policy::audit::Event as Record;
use bulkhead_policy::{Answer, Decision, Engine, Grant, Moment, Outcome, Permit, Prompt, Request};
use bulkhead_policy::{Verdict, ZoneName};
use bus::Bus;
use door::Door;
use holder::{Holder, Source};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use usb_redirect::device::DescriptionFile;
use usb_redirect::identity::{Circumstances, Hash, Identity};
use usb_redirect::plugged::{self, Plugged};

pub use door::{Order, Reply, ask};
pub use judge::PolicyJudge;

/// The vsock port on which a guest waits for devices.
pub const GUEST_PORT: u32 = 3240;
/// After news the kernel gets so long to read the device and bind its drivers.
const SETTLE: Duration = Duration::from_millis(500);
/// How often the list is read again for a device whose drivers are late.
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
/// How often rules that depend on the time are looked at while a device is in a zone.
const RECHECK: Duration = Duration::from_secs(60);
/// Notices of one device that are recorded: it or its zone must not fill the log.
const NOTICES: u8 = 8;
/// Ports of which it is remembered what was there.
const PORTS: usize = 256;

const BUS: u64 = 0;
const DOOR: u64 = 1;
const FIRST_DEVICE: u64 = 16;

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
        text: String,
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
    Tell(String),
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
    /// The socket for [`ask`]; none opens no door.
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
    late: u8,
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
            late: 0,
            recheck: None,
            generation: 0,
            acts: Vec::new(),
        };
        usb.scan(false);
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
        devices.chain(self.rescan).chain(self.recheck).min()
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
                        self.late = 0;
                        self.rescan = Some(now + SETTLE);
                    }
                }
                DOOR => self.serve_door(around, now),
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
            if self.scan(true) && self.late < LATE_DRIVERS {
                self.late = self.late.saturating_add(1);
                self.rescan = Some(now + SETTLE);
            }
        }
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
        if !around.is_locked {
            self.consider(around, now);
        }
        let any_held = |device: &Device| matches!(device.state, State::Held(_));
        if self.recheck.is_none() && self.devices.values().any(any_held) {
            self.recheck = Some(now + RECHECK);
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
    ) -> Reply {
        let device = self.devices.get(&id).ok_or("the device is gone")?;
        let title = device.title.clone();
        if !matches!(device.state, State::Waiting | State::Refused) {
            return Err(format!("{title} is in use; detach it first"));
        }
        let known = around.zones.iter().find(|known| known.name == *zone);
        let zone = match known {
            Some(zone) if zone.is_ready => zone.name.clone(),
            Some(_) => return Err(format!("zone {zone} does not run")),
            None => return Err(format!("there is no zone {zone}")),
        };
        let attempt = self.attempt(id, &zone, around, now)?;
        let reply = match attempt {
            None => format!("zone {zone} has {title}"),
            Some(prompt) => {
                self.ask(vec![(id, zone, prompt)]);
                "the person at the desktop is asked".to_owned()
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
            self.let_go(id, "taken back by the person", now);
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
    pub fn simulate(&mut self, descriptors: &Path, script: Option<&Path>) -> Reply {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let descriptors = absolute(descriptors)?;
        let script = script.map(absolute).transpose()?;
        let told = |what: &dyn std::fmt::Display| format!("{}: {what}", descriptors.display());
        let text = std::fs::read_to_string(&descriptors).map_err(|error| told(&error))?;
        let description = DescriptionFile::parse(&text).and_then(|file| file.describe());
        let mut description = description.map_err(|error| told(&error))?;
        let id = self.next_device();
        // The kernel counts buses from 1.
        description.port = format!("0-{}", id.0);
        let identity = Identity::new(&description);
        let title = description.title();
        let reply = format!("{title} is plugged in at {}", description.port);
        self.devices.insert(
            id,
            Device {
                source: Source::Simulated {
                    descriptors,
                    script,
                },
                port: description.port,
                numbers: identity.numbers,
                title,
                identity: Some(identity),
                is_hub: false,
                changed: false,
                automatic: true,
                home: None,
                not_before: None,
                asked: 0,
                state: State::Waiting,
            },
        );
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

    /// Reads the kernel's list. True when a device's drivers are late.
    fn scan(&mut self, automatic: bool) -> bool {
        let list = match plugged::list(&self.places.devices) {
            Ok(list) => list,
            Err(error) => {
                tracing::warn!("USB devices cannot be listed: {error}");
                return false;
            }
        };
        let mut late = false;
        let is = |device: &Device, plugged: &Plugged| match &device.source {
            Source::Node { node, port } => *node == plugged.node && *port == plugged.port,
            Source::Simulated { .. } => false,
        };
        let gone = |device: &Device| {
            matches!(device.source, Source::Node { .. })
                && !list.iter().any(|plugged| is(device, plugged))
        };
        let gone: Vec<DeviceId> = self
            .devices
            .iter()
            .filter_map(|(id, device)| gone(device).then_some(*id))
            .collect();
        for id in gone {
            self.drop_questions(id);
            if let Some(device) = self.devices.remove(&id)
                && let State::Held(held) = device.state
            {
                self.tell_end(&held.zone, &device.title, "it was pulled out");
            }
        }
        for plugged in list {
            let identity = plugged.identity();
            let known = self
                .devices
                .values_mut()
                .find(|device| is(device, &plugged));
            if let Some(known) = known {
                // Its drivers may have come since, and go while a process has it.
                if known.identity.is_none() && identity.is_some() {
                    known.changed = note_port(&mut self.ports, &plugged.port, identity.as_ref());
                    known.identity = identity;
                }
                late |= known.identity.is_none() && is_hid(&plugged);
                continue;
            }
            late |= identity.is_none() && is_hid(&plugged);
            let changed = note_port(&mut self.ports, &plugged.port, identity.as_ref());
            let id = self.next_device();
            self.devices.insert(
                id,
                Device {
                    title: plugged.title(),
                    is_hub: plugged.is_hub(),
                    numbers: plugged.numbers,
                    source: Source::Node {
                        node: plugged.node,
                        port: plugged.port.clone(),
                    },
                    port: plugged.port,
                    identity,
                    changed,
                    automatic,
                    home: None,
                    not_before: None,
                    asked: 0,
                    state: State::Waiting,
                },
            );
        }
        late
    }

    /// Tries what is new, or waits, in the zones that are ready.
    fn consider(&mut self, around: &mut Around<'_>, now: Instant) {
        let waiting: Vec<DeviceId> = self
            .devices
            .iter()
            .filter(|(_, device)| {
                matches!(device.state, State::Waiting)
                    && device.automatic
                    && device.identity.is_some()
                    && device.not_before.is_none_or(|due| due <= now)
            })
            .map(|(id, _)| *id)
            .collect();
        let mut asks = Vec::new();
        for id in waiting {
            let Some(zone) = self.place(id, around) else {
                continue;
            };
            if let Ok(Some(prompt)) = self.attempt(id, &zone, around, now) {
                asks.push((id, zone, prompt));
            }
        }
        self.ask(asks);
    }

    /// Where a device goes by itself: to the zone that it was in, to the focused one, or to the only one that may have it.
    fn place(&self, id: DeviceId, around: &Around<'_>) -> Option<ZoneName> {
        let device = self.devices.get(&id)?;
        let may = |zone: &&ZoneNow| {
            let request = self.request(id, &zone.name, around.moment);
            request.is_some_and(|request| {
                around.engine.decider().decide(&request).verdict != Verdict::Deny
            })
        };
        let ready = around.zones.iter().filter(|zone| zone.is_ready);
        let homely =
            ready.filter(|zone| device.home.as_ref().is_none_or(|home| *home == zone.name));
        let candidates: Vec<&ZoneNow> = homely.filter(may).collect();
        let focused = candidates.iter().find(|zone| zone.has_focus);
        match (focused, candidates.as_slice()) {
            (Some(zone), _) | (None, [zone]) => Some(zone.name.clone()),
            _ => None,
        }
    }

    fn request(&self, id: DeviceId, zone: &ZoneName, moment: Moment) -> Option<Request> {
        let device = self.devices.get(&id)?;
        let circumstances = Circumstances {
            another_keyboard: self.devices.iter().any(|(other, device)| {
                *other != id && device.identity.as_ref().is_some_and(Identity::can_type)
            }),
            changed: device.changed,
        };
        let identity = device.identity.as_ref()?;
        let mut request = judge::request(zone.clone(), identity, circumstances);
        request.facts.moment = Some(moment);
        Some(request)
    }

    /// Asks the policy, and gives the device to the zone where it says so. A prompt, where the person is to be asked first.
    fn attempt(
        &mut self,
        id: DeviceId,
        zone: &ZoneName,
        around: &mut Around<'_>,
        now: Instant,
    ) -> Result<Option<Prompt>, String> {
        let request = self.request(id, zone, around.moment);
        let request = request.ok_or("no zone may have it; `bulkhead usb list` says why")?;
        match around.engine.authorise(request.clone(), around.moment) {
            Outcome::Allowed(permit) => self
                .give(id, zone.clone(), permit, None, now)
                .map(|()| None),
            Outcome::Ask(prompt) => Ok(Some(prompt)),
            Outcome::Denied(decision) => {
                let why = judge::reason(around.engine.decider(), &decision);
                self.denied(id, request, decision, None);
                Err(format!("zone {zone} may not have it: {why}"))
            }
        }
    }

    fn denied(
        &mut self,
        id: DeviceId,
        request: Request,
        decision: Decision,
        answer: Option<&'static str>,
    ) {
        if let Some(device) = self.devices.get_mut(&id) {
            device.state = State::Refused;
        }
        self.acts.push(Act::Decided {
            request: Box::new(request),
            decision: Box::new(decision),
            answer,
        });
    }

    fn answered(
        &mut self,
        id: DeviceId,
        zone: ZoneName,
        prompt: Prompt,
        yes: bool,
        around: &mut Around<'_>,
        now: Instant,
    ) {
        let request = prompt.request().clone();
        // A yes holds for this device alone, for as long as it is there: the engine's longer grants name no device.
        let (answer, word) = if yes {
            (Answer::Yes(Grant::Once), "yes")
        } else {
            (Answer::No, "no")
        };
        match around.engine.answer(prompt, answer, around.moment) {
            Outcome::Allowed(permit) => {
                if let Err(why) = self.give(id, zone, permit, Some(word), now) {
                    self.acts.push(Act::Tell(why));
                }
            }
            // The policy has changed meanwhile.
            Outcome::Ask(prompt) => self.ask(vec![(id, zone, prompt)]),
            Outcome::Denied(decision) => self.denied(id, request, decision, Some(word)),
        }
    }

    /// Starts the process that holds a device for a zone.
    fn give(
        &mut self,
        id: DeviceId,
        zone: ZoneName,
        permit: Permit,
        answer: Option<&'static str>,
        now: Instant,
    ) -> Result<(), String> {
        self.acts.push(Act::Decided {
            request: Box::new(permit.request().clone()),
            decision: Box::new(permit.decision().clone()),
            answer,
        });
        let given = Given {
            permit,
            zone,
            tries: 0,
        };
        self.start(id, given, now)
    }

    fn start(&mut self, id: DeviceId, given: Given, now: Instant) -> Result<(), String> {
        let Given {
            permit,
            zone,
            tries,
        } = given;
        let device = self.devices.get_mut(&id).ok_or("the device is gone")?;
        let identity = device.identity.as_ref().ok_or("the device is gone")?;
        let grant = judge::grant(permit.decision(), identity);
        let started = Holder::start(
            &self.places.program,
            &device.source,
            identity.fingerprint(),
            &grant,
        );
        let watched = started.and_then(|(holder, socket)| {
            let token = EventData::new_u64(FIRST_DEVICE.saturating_add(id.0.into()));
            epoll::add(&self.epoll, &holder, token, EventFlags::IN)?;
            Ok((holder, socket))
        });
        let (holder, socket) = match watched {
            Ok(started) => started,
            Err(error) => {
                device.state = State::Refused;
                let program = self.places.program.display();
                return Err(format!("{program} cannot be started: {error}"));
            }
        };
        device.home = Some(zone.clone());
        device.state = State::Held(Box::new(Held {
            holder,
            permit,
            zone: zone.clone(),
            tries,
            since: now,
            notices: 0,
            last_words: String::new(),
        }));
        let title = device.title.clone();
        self.acts.push(Act::Dial {
            zone: zone.clone(),
            socket,
        });
        if let Some(code) = &grant.challenge {
            let text = format!(
                "Type {code} on the new keyboard: only then does it count in {zone}. No takes it back."
            );
            self.question(zone, About::Code(id), text, title);
        }
        Ok(())
    }

    /// Asks the person, once for each zone and dock.
    fn ask(&mut self, asks: Vec<(DeviceId, ZoneName, Prompt)>) {
        let mut groups: BTreeMap<(String, ZoneName), Vec<(DeviceId, Prompt)>> = BTreeMap::new();
        for (id, zone, prompt) in asks {
            let root = self.dock(id);
            groups.entry((root, zone)).or_default().push((id, prompt));
        }
        for ((_, zone), members) in groups {
            let mut kinds = Vec::new();
            let mut titles = Vec::new();
            for (id, _) in &members {
                if let Some(device) = self.devices.get_mut(id) {
                    device.state = State::Asked;
                    kinds.extend(device.identity.as_ref().map(Identity::kind));
                    titles.push(device.title.clone());
                }
            }
            let text = format!("Give {zone} this USB device: {}?", kinds.join("; "));
            self.question(zone, About::Attach(members), text, titles.join("; "));
        }
    }

    /// The dock that a device is in: the first hub on its way that came while the desktop ran, or else the device itself.
    fn dock(&self, id: DeviceId) -> String {
        let port = self.devices.get(&id).map_or("", |device| &device.port);
        let hubs = self.devices.values().filter(|device| {
            let below = port.strip_prefix(device.port.as_str());
            device.is_hub && device.automatic && below.is_some_and(|rest| rest.starts_with('.'))
        });
        let shallowest = hubs.min_by_key(|hub| hub.port.len());
        shallowest.map_or(port, |hub| &hub.port).to_owned()
    }

    fn question(&mut self, zone: ZoneName, about: About, text: String, detail: String) {
        self.last_question = self.last_question.wrapping_add(1);
        let question = QuestionId(self.last_question);
        self.acts.push(Act::Ask {
            question,
            zone: zone.clone(),
            text,
            detail,
        });
        self.questions.insert(question, Question { zone, about });
    }

    /// Questions about a device have become pointless; others of the same question are asked about anew.
    fn drop_questions(&mut self, id: DeviceId) {
        let concerned: Vec<QuestionId> = self
            .questions
            .iter()
            .filter(|(_, question)| question.about.concerns(id))
            .map(|(question, _)| *question)
            .collect();
        for question in concerned {
            self.withdraw(question);
        }
    }

    fn withdraw(&mut self, question: QuestionId) {
        let Some(Question { about, .. }) = self.questions.remove(&question) else {
            return;
        };
        self.acts.push(Act::Withdraw(question));
        if let About::Attach(devices) = about {
            for (id, _) in devices {
                if let Some(device) = self.devices.get_mut(&id)
                    && matches!(device.state, State::Asked)
                {
                    device.state = State::Waiting;
                }
            }
        }
    }

    /// Another policy is at work: what was asked or refused by the old one is decided anew.
    fn forget_verdicts(&mut self) {
        let asked = |question: &Question| matches!(question.about, About::Attach(_));
        let open: Vec<QuestionId> = self
            .questions
            .iter()
            .filter_map(|(id, question)| asked(question).then_some(*id))
            .collect();
        for question in open {
            self.withdraw(question);
        }
        for device in self.devices.values_mut() {
            if matches!(device.state, State::Refused) {
                device.state = State::Waiting;
            }
        }
    }

    /// Decides again on everything that zones have.
    fn check_permits(&mut self, around: &mut Around<'_>, now: Instant) {
        let mut over = Vec::new();
        for (id, device) in &mut self.devices {
            let permit = match &mut device.state {
                State::Held(held) => &mut held.permit,
                State::Resting { held, .. } => &mut held.permit,
                _ => continue,
            };
            let before = permit.decision().duties.clone();
            match around.engine.go_on(permit, 0, around.moment) {
                Err(decision) => {
                    let why = judge::reason(around.engine.decider(), &decision);
                    self.acts.push(Act::Decided {
                        request: Box::new(permit.request().clone()),
                        decision,
                        answer: None,
                    });
                    over.push((*id, format!("the policy takes it back: {why}")));
                }
                Ok(()) => {
                    let after = &permit.decision().duties;
                    if (&before.usb_passes, before.type_code)
                        != (&after.usb_passes, after.type_code)
                    {
                        over.push((*id, "the policy lets other things of it pass".to_owned()));
                    }
                }
            }
        }
        for (id, why) in over {
            self.let_go(id, &why, now);
        }
    }

    /// A zone that does not run has no devices.
    fn follow_zones(&mut self, around: &Around<'_>, now: Instant) {
        let runs = |name: &ZoneName| {
            let zone = around.zones.iter().find(|zone| zone.name == *name);
            zone.is_some_and(|zone| zone.is_ready)
        };
        let orphans: Vec<DeviceId> = self
            .devices
            .iter()
            .filter(|(_, device)| match &device.state {
                State::Held(held) => !runs(&held.zone),
                State::Resting { held, .. } => !runs(&held.zone),
                _ => false,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in orphans {
            self.let_go(id, "its zone does not run any more", now);
        }
        let idle: Vec<QuestionId> = self
            .questions
            .iter()
            .filter(|(_, question)| !runs(&question.zone))
            .map(|(question, _)| *question)
            .collect();
        for question in idle {
            self.withdraw(question);
        }
    }

    fn keep_deadlines(&mut self, around: &Around<'_>, now: Instant) {
        let ids: Vec<DeviceId> = self.devices.keys().copied().collect();
        for id in ids {
            let Some(device) = self.devices.get_mut(&id) else {
                continue;
            };
            match std::mem::replace(&mut device.state, State::Waiting) {
                State::Resting { until, held } if until <= now && !around.is_locked => {
                    if let Err(why) = self.start(id, *held, now) {
                        self.acts.push(Act::Tell(why));
                    }
                }
                State::Leaving { holder, kill_at } if kill_at <= now => {
                    drop(holder);
                    bind_drivers(&self.places.devices, &device.port);
                }
                state => device.state = state,
            }
        }
    }

    /// Takes a device from its zone in good order.
    fn let_go(&mut self, id: DeviceId, why: &str, now: Instant) {
        let Some(device) = self.devices.get_mut(&id) else {
            return;
        };
        let title = device.title.clone();
        match std::mem::replace(&mut device.state, State::Waiting) {
            State::Held(held) => {
                held.holder.ask_to_detach();
                device.state = State::Leaving {
                    holder: held.holder,
                    kill_at: now + LETTING_GO,
                };
                self.tell_end(&held.zone, &title, why);
                self.drop_questions(id);
            }
            State::Resting { held, .. } => self.tell_end(&held.zone, &title, why),
            state => device.state = state,
        }
    }

    fn tell_end(&mut self, zone: &ZoneName, title: &str, why: &str) {
        let detail = format!("{title}: {why}");
        self.acts.push(Act::Record(Record::zone(
            zone.as_str(),
            "usb-ended",
            &detail,
        )));
        self.acts.push(Act::Tell(format!(
            "{title} is not in {zone} any more: {why}"
        )));
    }

    /// Reads what a device's process says.
    fn read_notices(&mut self, id: DeviceId, now: Instant) {
        loop {
            let Some(device) = self.devices.get_mut(&id) else {
                return;
            };
            let holder = match &mut device.state {
                State::Held(held) => &mut held.holder,
                State::Leaving { holder, .. } => holder,
                _ => return,
            };
            match holder.line() {
                Ok(Some(line)) => self.notice(id, &line),
                Ok(None) => return,
                Err(_) => return self.process_ended(id, now),
            }
        }
    }

    fn notice(&mut self, id: DeviceId, line: &str) {
        let Some(Device {
            state: State::Held(held),
            title,
            ..
        }) = self.devices.get_mut(&id)
        else {
            return;
        };
        let (zone, title) = (held.zone.clone(), title.clone());
        tracing::debug!("usb-redirect for {title}: {line}");
        match line.split(' ').next().unwrap_or_default() {
            "typing-too-fast" => {
                let text = format!(
                    "A keyboard of {zone} types faster than a person and is held. Let it go on?"
                );
                let asked = |question: &Question| matches!(question.about, About::Typing(about) if about == id);
                if !self.questions.values().any(asked) {
                    self.question(zone, About::Typing(id), text, title);
                }
            }
            "code-typed" => self.drop_questions(id),
            "undeclared-report" | "request-refused" | "jail-layer-missing" => {
                if held.notices < NOTICES {
                    held.notices = held.notices.saturating_add(1);
                    let detail = format!("{title}: {line}");
                    let record = Record::zone(zone.as_str(), "usb-notice", &detail);
                    self.acts.push(Act::Record(record));
                }
            }
            "device" | "stopped" => {}
            _ => line.clone_into(&mut held.last_words),
        }
    }

    fn process_ended(&mut self, id: DeviceId, now: Instant) {
        let Some(device) = self.devices.get_mut(&id) else {
            return;
        };
        let held = match std::mem::replace(&mut device.state, State::Waiting) {
            State::Held(held) => *held,
            // It was asked to go, and went.
            State::Leaving { .. } => return,
            state => {
                device.state = state;
                return;
            }
        };
        let Held {
            holder,
            permit,
            zone,
            tries,
            since,
            last_words,
            ..
        } = held;
        drop(holder);
        let title = device.title.clone();
        let in_order = last_words.starts_with("end ");
        let declined = last_words == "end Released" && now < since + DECLINED;
        if declined && tries < TRIES {
            device.state = State::Resting {
                until: now + AGAIN,
                held: Box::new(Given {
                    permit,
                    zone,
                    tries: tries.saturating_add(1),
                }),
            };
        } else {
            // What failed once is not tried again and again.
            device.state = State::Refused;
            if !in_order {
                bind_drivers(&self.places.devices, &device.port);
            }
            let why = match last_words.as_str() {
                "" => "its process ended",
                "end Released" => "the zone let it go",
                "end Unplugged" => "it was pulled out",
                words => words,
            };
            self.tell_end(&zone, &title, why);
        }
        self.drop_questions(id);
    }

    fn serve_door(&mut self, around: &mut Around<'_>, now: Instant) {
        // One in each turn: whoever floods the door waits for everything else.
        let Some((stream, order)) = self.door.as_ref().and_then(Door::next) else {
            return;
        };
        let reply = match order {
            Order::Attach { device, zone } => self
                .find(&device)
                .and_then(|id| self.attach(id, &zone, around, now)),
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
            } => self.simulate(&descriptors, script.as_deref()),
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

/// Whether it is meant to be a HID device of which the kernel has not read everything yet.
fn is_hid(plugged: &Plugged) -> bool {
    plugged.interfaces.iter().any(|(_, class)| class.is_hid())
}

/// Remembers what is at a port. True when another device was there before.
fn note_port(ports: &mut BTreeMap<String, Hash>, port: &str, identity: Option<&Identity>) -> bool {
    let Some(identity) = identity else {
        return false;
    };
    let now = identity.fingerprint();
    if ports.len() >= PORTS && !ports.contains_key(port) {
        return true;
    }
    let before = ports.insert(port.to_owned(), now);
    before.is_some_and(|before| before != now)
}

/// A process that was killed cannot give a device back: the kernel is asked to find drivers for its interfaces.
fn bind_drivers(devices: &Path, port: &str) {
    let Some(probe) = devices.parent().map(|bus| bus.join("drivers_probe")) else {
        return;
    };
    let entries = std::fs::read_dir(devices.join(port)).into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    let interfaces = names.filter_map(|name| name.into_string().ok());
    for interface in interfaces.filter(|name| name.starts_with(&format!("{port}:"))) {
        if let Err(error) = std::fs::write(&probe, interface.as_bytes()) {
            tracing::debug!("no driver was looked for, for {interface}: {error}");
        }
    }
}
