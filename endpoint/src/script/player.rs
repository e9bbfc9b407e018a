//! Plays a script: does what can be done, and says until when it waits for the rest. It has no clock and no loop of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use compositor::accesskit;
use compositor::keys::{ENTER, LEFT_SUPER, RIGHT_CONTROL, TAB};
use compositor::{HostKey, InputEvent, KeyMovement, Point};

use super::keyboard::{SHIFT, Stroke};
use super::latency;
use super::load::{self, Load};
use super::{Command, Condition, DesktopCondition, Script, ScriptError};
use crate::present::picture::Camera;
use crate::{Session, Stages};

/// Between two typed characters: a guest on an interpreted CPU drops keys that come faster than it can take them.
const BETWEEN_STROKES: Duration = Duration::from_millis(20);

/// A zone that has not drawn for so long has finished with the last key.
const SETTLED: Duration = Duration::from_millis(150);
/// How often a measurement looks whether the zone has drawn; the time it takes is the drawing's, not the look's.
const LOOK: Duration = Duration::from_millis(10);
/// A key that shows nothing for so long shows nothing.
const NO_ANSWER: Duration = Duration::from_secs(10);
/// How long a terminal scrolls before the first key is measured.
const BEGIN: Duration = Duration::from_secs(3);
/// A key that puts a character on the screen, and the one that takes it away.
const LATENCY_KEYS: [u16; 2] = [45, 14];

/// How far a script is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// It waits for something, until [`Player::deadline`] at the latest.
    Waiting,
    /// Every line was done.
    Finished,
    /// It said `quit`.
    Quit,
}

/// A script in play.
#[derive(Debug)]
pub struct Player {
    script: Script,
    next: usize,
    /// When the wait in the current line began.
    since: Option<Instant>,
    deadline: Option<Instant>,
    /// Characters of the current line that were typed.
    typed: usize,
    /// Where the next `wait-console` of each zone looks from.
    places: Vec<(String, u64)>,
    /// The key of the current measurement, and the results so far.
    pressed: Option<Instant>,
    /// When the last key's pixels were shown.
    answered: Option<Instant>,
    latencies: Vec<Stages>,
    /// What else there is to do meanwhile.
    load: Load,
    /// Whether figures are printed for programs.
    json: bool,
}

/// What became of one command.
enum Done {
    Yes,
    /// Come back at this time, or when something happened.
    Not(Instant),
}

impl Player {
    /// A player at the script's first line.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self {
            script,
            next: 0,
            since: None,
            deadline: None,
            typed: 0,
            places: Vec::new(),
            pressed: None,
            answered: None,
            latencies: Vec::new(),
            load: Load::default(),
            json: false,
        }
    }

    /// Prints figures as JSON, for programs.
    #[must_use]
    pub fn with_json(mut self, json: bool) -> Self {
        self.json = json;
        self
    }

    /// When to come back though nothing happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Plays on as far as it goes.
    ///
    /// # Errors
    /// A line failed; its place and why.
    pub fn advance(
        &mut self,
        session: &mut Session,
        camera: &mut dyn Camera,
        now: Instant,
    ) -> Result<Progress, ScriptError> {
        while let Some(step) = self.script.steps.get(self.next) {
            let (line, command) = (step.line, step.command.clone());
            if command == Command::Quit {
                return Ok(Progress::Quit);
            }
            let since = *self.since.get_or_insert(now);
            let done = self.play(&command, session, camera, since, now);
            match done.map_err(|message| ScriptError {
                file: self.script.file.clone(),
                line,
                message,
            })? {
                Done::Not(deadline) => {
                    self.deadline = Some(deadline);
                    return Ok(Progress::Waiting);
                }
                Done::Yes => {
                    self.next = self.next.saturating_add(1);
                    self.since = None;
                    self.deadline = None;
                    self.typed = 0;
                }
            }
        }
        Ok(Progress::Finished)
    }

    fn play(
        &mut self,
        command: &Command,
        session: &mut Session,
        camera: &mut dyn Camera,
        since: Instant,
        now: Instant,
    ) -> Result<Done, String> {
        let unknown = |error: crate::UnknownZone| error.to_string();
        match command {
            Command::Wait {
                zone,
                condition,
                timeout,
            } => return self.wait(zone, condition, *timeout, session, since, now),
            Command::WaitFor { condition, timeout } => {
                return wait_for(*condition, *timeout, session, since, now);
            }
            Command::Answer { choice, timeout } => {
                return answer(*choice, *timeout, session, since, now);
            }
            Command::Unlock(strokes) => {
                if self.typed == 0 && !session.is_locked() {
                    return Err("the desktop is not locked".to_owned());
                }
                let done = self.type_on(strokes, session, now);
                if matches!(done, Done::Yes) {
                    press(&[ENTER], session, now);
                }
                return Ok(done);
            }
            Command::Focus(zone) => focus(zone, session, now)?,
            Command::Type(strokes) => {
                if session.scene().focus().is_none() {
                    return Err("no zone has the keyboard; write `focus ZONE` first".to_owned());
                }
                return Ok(self.type_on(strokes, session, now));
            }
            Command::Key(codes) => press(codes, session, now),
            Command::Press(name) => {
                let at = control(name, session)?;
                session.input(InputEvent::PointerMoved(at), now);
                click(0x110, session, now);
            }
            Command::Shown { text, timeout } => {
                let tree = session.scene().accessible_tree();
                let mut said = tree
                    .nodes
                    .iter()
                    .flat_map(|(_, node)| [node.label(), node.value()])
                    .flatten();
                if said.any(|said| said.contains(text)) {
                    return Ok(Done::Yes);
                }
                let end = since + *timeout;
                if end <= now {
                    return Err(format!("`{text}` was not shown in {} s", timeout.as_secs()));
                }
                return Ok(Done::Not(end.min(now + LOOK)));
            }
            Command::Move(x, y) => session.input(InputEvent::PointerMoved(Point::new(*x, *y)), now),
            Command::Click { button, at } => {
                if let Some((x, y)) = at {
                    session.input(InputEvent::PointerMoved(Point::new(*x, *y)), now);
                }
                click(*button, session, now);
            }
            Command::Wheel(notches) => {
                session.input(
                    InputEvent::Wheel {
                        vertical: notches.saturating_mul(120),
                        horizontal: 0,
                    },
                    now,
                );
            }
            Command::Sleep(duration) => {
                let end = since + *duration;
                return Ok(if end <= now {
                    Done::Yes
                } else {
                    Done::Not(end)
                });
            }
            Command::Latency { zone, count, busy } => {
                let done = self.latency(zone, *count, *busy, session, now)?;
                return Ok(if *busy {
                    self.stir(zone, done, session, now)?
                } else {
                    done
                });
            }
            Command::Screenshot(path) => screenshot(path, session, camera, now)?,
            Command::Start(zone) => session.start(zone).map_err(unknown)?,
            Command::Power(zone) => session.power(zone, now).map_err(unknown)?,
            Command::Kill(zone) => session.kill(zone).map_err(unknown)?,
            Command::Quit => {}
        }
        Ok(Done::Yes)
    }

    fn wait(
        &mut self,
        zone: &str,
        condition: &Condition,
        timeout: Duration,
        session: &Session,
        since: Instant,
        now: Instant,
    ) -> Result<Done, String> {
        let view = session.zone(zone).map_err(|error| error.to_string())?;
        let met = match condition {
            Condition::Ready => view.is_ready(),
            Condition::Agent => view.has_agent(),
            Condition::State(word) => view.status().word() == *word,
            Condition::Still(duration) => {
                let end = view.drew().map_or(since, |drew| drew.max(since)) + *duration;
                if end > now && end < since + timeout {
                    // Nothing else may happen until then.
                    return Ok(Done::Not(end));
                }
                end <= now
            }
            Condition::Console(text) => {
                let from = self
                    .places
                    .iter()
                    .find(|(name, _)| name == zone)
                    .map_or(0, |(_, place)| *place);
                let found = view.console().find(text.as_bytes(), from);
                if let Some(place) = found {
                    self.places.retain(|(name, _)| name != zone);
                    self.places.push((zone.to_owned(), place));
                }
                found.is_some()
            }
        };
        if met {
            return Ok(Done::Yes);
        }
        let state = match view.status().reason() {
            Some(reason) => format!("it is {}: {reason}", view.status().word()),
            None => format!("it is {}", view.status().word()),
        };
        // A zone that has failed will not become ready by waiting.
        if matches!(
            condition,
            Condition::Ready | Condition::Console(_) | Condition::Agent
        ) && view.status().reason().is_some()
        {
            return Err(format!("zone {zone} cannot get there any more: {state}"));
        }
        let end = since + timeout;
        if end > now {
            return Ok(Done::Not(end));
        }
        let wanted = match condition {
            Condition::Ready => "did not become ready".to_owned(),
            Condition::Agent => "started no clipboard agent".to_owned(),
            Condition::State(word) => format!("did not become {word}"),
            Condition::Still(_) => "did not stop drawing".to_owned(),
            Condition::Console(text) => format!("did not write `{text}` to its console"),
        };
        let tail = view.console().tail(400);
        Err(format!(
            "zone {zone} {wanted} within {} s; {state}. The end of its console:\n{}",
            timeout.as_secs(),
            tail.trim_end()
        ))
    }

    /// One key at a time: each waits until the zone has drawn what the last one did.
    fn latency(
        &mut self,
        zone: &str,
        count: usize,
        busy: bool,
        session: &mut Session,
        now: Instant,
    ) -> Result<Done, String> {
        let view = session.zone(zone).map_err(|error| error.to_string())?;
        if session.scene().focus() != Some(view.id()) {
            return Err(format!(
                "zone {zone} has not the keyboard; write `focus {zone}` first"
            ));
        }
        let (id, drew) = (view.id(), view.drew());
        let settled = drew.map_or(now, |drew| drew + SETTLED);
        if let Some(pressed) = self.pressed {
            let calibrates = busy && self.load.mark.is_none();
            let shown = session.has_followed() && (!calibrates || settled <= now);
            if !shown {
                let given_up = now.saturating_duration_since(pressed) > NO_ANSWER;
                return match given_up {
                    false => Ok(Done::Not(now + LOOK)),
                    true => Err(format!(
                        "zone {zone} showed nothing of a key for {} s",
                        NO_ANSWER.as_secs()
                    )),
                };
            }
            let changed = session.changed_since_key();
            if let Some(stages) = session.take_followed() {
                match calibrates {
                    true => self.load.mark = changed.map(|changed| changed.centre()),
                    false => self.latencies.push(stages),
                }
            }
            self.pressed = None;
            self.answered = Some(now);
        }
        if self.latencies.len() >= count {
            let latencies = latency::Latencies::of(zone, std::mem::take(&mut self.latencies));
            self.load = Load::default();
            // A script's answer, for whoever runs it.
            if self.json {
                println!("{}", latencies.json());
            } else {
                print!("{latencies}");
            }
            return Ok(Done::Yes);
        }
        let next = match (self.load.mark, self.answered) {
            (Some(_), Some(answered)) => answered + Load::pause(self.latencies.len()),
            _ => settled,
        };
        if next > now {
            return Ok(Done::Not(next));
        }
        if self.load.mark.is_some() && !std::mem::replace(&mut self.load.scrolls, true) {
            press(&[load::START], session, now);
            self.answered = Some(now + BEGIN);
            return Ok(Done::Not(now + BEGIN));
        }
        session.follow_key(id, self.load.mark);
        let key = match busy {
            true => load::KEY,
            false => LATENCY_KEYS[self.latencies.len() % 2],
        };
        press(&[key], session, now);
        self.pressed = Some(now);
        Ok(Done::Not(now + LOOK))
    }

    /// Moves the pointer within a zone's pixels, and comes back when it is to move again.
    fn stir(
        &mut self,
        zone: &str,
        done: Done,
        session: &mut Session,
        now: Instant,
    ) -> Result<Done, String> {
        let Done::Not(until) = done else {
            return Ok(done);
        };
        let view = session.zone(zone).map_err(|error| error.to_string())?;
        let within = session.scene().client_rect(view.id());
        if self.load.scrolls
            && let Some(at) = within.and_then(|within| self.load.pointer(within, now))
        {
            session.input(InputEvent::PointerMoved(at), now);
        }
        let due = self.load.scrolls.then(|| self.load.pointer_due(now));
        Ok(Done::Not(due.map_or(until, |due| due.min(until))))
    }

    fn type_on(&mut self, strokes: &[Stroke], session: &mut Session, now: Instant) -> Done {
        let Some(stroke) = strokes.get(self.typed) else {
            return Done::Yes;
        };
        if let Some(deadline) = self.deadline.filter(|deadline| *deadline > now) {
            return Done::Not(deadline);
        }
        let keys: &[u16] = if stroke.shift {
            &[SHIFT, stroke.code]
        } else {
            &[stroke.code]
        };
        press(keys, session, now);
        self.typed = self.typed.saturating_add(1);
        Done::Not(now + BETWEEN_STROKES)
    }
}

fn wait_for(
    condition: DesktopCondition,
    timeout: Duration,
    session: &Session,
    since: Instant,
    now: Instant,
) -> Result<Done, String> {
    let version = session
        .policy()
        .header
        .as_ref()
        .map(|header| header.version);
    let (met, wanted) = match condition {
        DesktopCondition::Policy(wanted) => (
            version == Some(wanted),
            format!("policy version {wanted} is not at work"),
        ),
        DesktopCondition::Locked(true) => {
            (session.is_locked(), "the desktop is not locked".to_owned())
        }
        DesktopCondition::Locked(false) => {
            (!session.is_locked(), "the desktop is locked".to_owned())
        }
    };
    let end = since + timeout;
    match met {
        true => Ok(Done::Yes),
        false if end > now => Ok(Done::Not(end)),
        false => Err(format!("{wanted} after {} s", timeout.as_secs())),
    }
}

/// Chooses an answer as a person does by the keyboard: the first control is No.
fn answer(
    choice: usize,
    timeout: Duration,
    session: &mut Session,
    since: Instant,
    now: Instant,
) -> Result<Done, String> {
    let Some(question) = session.scene().answerable() else {
        let end = since + timeout;
        return if end > now {
            Ok(Done::Not(end))
        } else {
            Err(format!("nothing was asked within {} s", timeout.as_secs()))
        };
    };
    for _ in 0..choice {
        press(&[TAB], session, now);
    }
    press(&[ENTER], session, now);
    if session.scene().answerable() == Some(question) {
        return Err(format!("the question has no answer {choice}"));
    }
    Ok(Done::Yes)
}

/// Presses keys one after the other and releases them in the opposite order.
fn press(codes: &[u16], session: &mut Session, now: Instant) {
    for code in codes {
        session.input(
            InputEvent::Key {
                code: *code,
                movement: KeyMovement::Pressed,
            },
            now,
        );
    }
    for code in codes.iter().rev() {
        session.input(
            InputEvent::Key {
                code: *code,
                movement: KeyMovement::Released,
            },
            now,
        );
    }
}

fn click(button: u16, session: &mut Session, now: Instant) {
    for pressed in [true, false] {
        session.input(InputEvent::Button { button, pressed }, now);
    }
}

/// The middle of the control of this name.
fn control(name: &str, session: &Session) -> Result<Point, String> {
    let tree = session.scene().accessible_tree();
    let mut controls = tree
        .nodes
        .iter()
        .filter(|(_, node)| node.supports_action(accesskit::Action::Focus));
    let found = controls.find(|(_, node)| node.label() == Some(name));
    let Some(bounds) = found.and_then(|(_, node)| node.bounds()) else {
        return Err(format!("no control that is shown is called `{name}`"));
    };
    let whole = |value: f64| format!("{value:.0}").parse().unwrap_or(0);
    Ok(Point::new(
        whole(f64::midpoint(bounds.x0, bounds.x1)),
        whole(f64::midpoint(bounds.y0, bounds.y1)),
    ))
}

/// The host key and the zone's digit, or host key and Tab until it is there.
fn focus(zone: &str, session: &mut Session, now: Instant) -> Result<(), String> {
    let view = session.zone(zone).map_err(|error| error.to_string())?;
    let (id, place) = (
        view.id(),
        session
            .scene()
            .zones()
            .position(|other| other.id == view.id())
            .unwrap_or(0),
    );
    let host = match session.host_key() {
        HostKey::Super => LEFT_SUPER,
        HostKey::RightControl => RIGHT_CONTROL,
    };
    match u16::try_from(place) {
        // The digit 1 has code 2.
        Ok(place @ 0..=8) => press(&[host, place.saturating_add(2)], session, now),
        _ => {
            for _ in session.zones().map(|_| ()).collect::<Vec<_>>() {
                if session.scene().focus() != Some(id) {
                    press(&[host, TAB], session, now);
                }
            }
        }
    }
    if session.scene().focus() == Some(id) {
        Ok(())
    } else {
        Err(format!("zone {zone} could not be given the keyboard"))
    }
}

fn screenshot(
    path: &Path,
    session: &mut Session,
    camera: &mut dyn Camera,
    now: Instant,
) -> Result<(), String> {
    camera
        .take(session, path, now)
        .map_err(|error| match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })
}
