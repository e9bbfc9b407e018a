//! One zone of the policy: what it is doing, and its process while it has one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bulkhead_policy::{self as policy, Timestamp};
use compositor::ZoneId;

use spice_agent::Agent;
use zone_link::Budget;

use super::process::Process;
use super::watch::{Source, Token};
use crate::console::Console;
use crate::words::{Lack, Remark, ZoneSetting};

/// What a zone is doing, as the endpoint sees it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// Not started, or shut down in good order.
    #[default]
    Off,
    /// Its image is opened, its process started, or its machine built.
    Starting,
    /// Its machine runs.
    Running,
    /// It was asked to shut down.
    Stopping,
    /// The guest's kernel panicked.
    Panicked,
    /// It could not start or could not go on.
    Failed(Remark),
    /// It was killed for what it did.
    Killed(Remark),
}

impl Status {
    /// The word for it in scripts and records.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Panicked => "panicked",
            Self::Failed(_) => "failed",
            Self::Killed(_) => "killed",
        }
    }

    /// The words of all of them.
    pub const WORDS: [&str; 7] = [
        "off", "starting", "running", "stopping", "panicked", "failed", "killed",
    ];

    /// Why, where there is a reason.
    #[must_use]
    pub fn reason(&self) -> Option<&Remark> {
        match self {
            Self::Failed(reason) | Self::Killed(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Restarts that a guest may ask for in a row.
const RESTARTS: usize = 3;
/// Refusals of one zone that are recorded in a minute.
const REFUSALS: u64 = 20;
/// Restarts longer ago than this do not count.
const RESTART_WINDOW: Duration = Duration::from_secs(60);

pub(super) struct Zone {
    pub(super) id: ZoneId,
    pub(super) policy: policy::Zone,
    pub(super) status: Status,
    /// Counts the zone's processes, so that news of an earlier one is not taken for news of this one.
    pub(super) incarnation: u32,
    pub(super) process: Option<Process>,
    /// An image is being opened for the next process.
    pub(super) is_preparing: bool,
    /// Start again once the process has ended.
    pub(super) restart: bool,
    restarts: VecDeque<Instant>,
    pub(super) killed_by_user: bool,
    /// How often a refusal is worth a record.
    pub(super) refusals: Budget,
    /// Refusals that were not.
    pub(super) unrecorded: u64,
    pub(super) console: Console,
    /// The time of day at which its machine began to run.
    pub(super) since: Option<Timestamp>,
    /// When it last changed a pixel.
    pub(super) drew: Option<Instant>,
    /// The policy has no such zone any more. Its place stays: other zones are known by theirs.
    pub(super) withdrawn: bool,
    /// What its jail lacks.
    pub(super) weakened: Vec<Lack>,
    /// What the policy changed of it that its running machine does not have yet.
    pub(super) outdated: Vec<ZoneSetting>,
}

impl Zone {
    pub(super) fn new(id: ZoneId, policy: policy::Zone) -> Self {
        Self {
            id,
            policy,
            status: Status::Off,
            incarnation: 0,
            process: None,
            is_preparing: false,
            restart: false,
            restarts: VecDeque::new(),
            killed_by_user: false,
            refusals: Budget::new(REFUSALS, RESTART_WINDOW, REFUSALS, Instant::now()),
            unrecorded: 0,
            console: Console::default(),
            since: None,
            drew: None,
            withdrawn: false,
            weakened: Vec::new(),
            outdated: Vec::new(),
        }
    }

    pub(super) fn name(&self) -> String {
        self.policy.name.to_string()
    }

    pub(super) fn token(&self, source: Source) -> Token {
        Token {
            source,
            zone: u16::try_from(self.id.0).unwrap_or(u16::MAX),
            incarnation: self.incarnation,
        }
    }

    /// When something is due though the zone says nothing.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let process = self.process.as_ref()?;
        let killing = process.deadline.as_ref().map(|(at, _)| *at);
        process.paused_until.into_iter().chain(killing).min()
    }

    /// Counts a restart that the guest asked for; false when it asks too often.
    pub(super) fn may_restart(&mut self, now: Instant) -> bool {
        self.restarts
            .retain(|restart| now.saturating_duration_since(*restart) < RESTART_WINDOW);
        self.restarts.push_back(now);
        self.restarts.len() <= RESTARTS
    }
}

/// A zone, to be looked at.
#[derive(Clone, Copy)]
pub struct ZoneView<'a>(pub(super) &'a Zone);

impl<'a> ZoneView<'a> {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.0.policy.name.as_str()
    }

    /// Its number in the scene.
    #[must_use]
    pub fn id(self) -> ZoneId {
        self.0.id
    }

    /// What it is doing.
    #[must_use]
    pub fn status(self) -> &'a Status {
        &self.0.status
    }

    /// True when the guest's session has said that it is ready.
    #[must_use]
    pub fn is_ready(self) -> bool {
        let runs = matches!(self.0.status, Status::Running | Status::Stopping);
        runs && self
            .0
            .process
            .as_ref()
            .is_some_and(|process| process.is_ready)
    }

    /// When its guest last changed a pixel. None: it never did.
    #[must_use]
    pub fn drew(self) -> Option<Instant> {
        self.0.drew
    }

    /// What its guest wrote to its console, this run's and earlier ones'.
    #[must_use]
    pub fn console(self) -> &'a Console {
        &self.0.console
    }

    /// True when it was the user's wish that it was killed.
    #[must_use]
    pub fn was_killed_by_user(self) -> bool {
        self.0.killed_by_user
    }

    /// True when the policy changed something that takes effect only when the zone is started again.
    #[must_use]
    pub fn needs_restart(self) -> bool {
        !self.0.outdated.is_empty()
    }

    /// True when its guest's agent runs, so that clips can be brought to it and from it.
    #[must_use]
    pub fn has_agent(self) -> bool {
        let process = self.0.process.as_ref();
        process.is_some_and(|process| process.agent.as_ref().is_some_and(Agent::is_able))
    }

    /// Its process, while it has one.
    #[must_use]
    pub fn process_id(self) -> Option<u32> {
        self.0.process.as_ref().map(|process| process.child.id())
    }
}
