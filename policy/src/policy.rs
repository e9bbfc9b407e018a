//! A whole policy: read from bytes, checked, and then known to be in order.
//!
//! [`Policy::parse`] is the only way to get one. What it gives has zones with unmistakable names, rules that name only
//! zones and tags that exist, and chords that do not collide; what could not be brought into that shape is reported, all
//! of it at once.

use std::time::Duration;

use ring::digest;

use crate::chord::Chord;
use crate::cross_check::check_rule_count;
use crate::diagnostic::{Diagnostic, Errors, Source, Span};
use crate::keys;
use crate::names::ZoneName;
use crate::pattern::{HostPattern, PortRange, TextPattern};
use crate::read::{Parts, brought_rules};
use crate::rule::{Rule, Verdict};
use crate::syntax::{decode, parse};
use crate::tree::{Reporter, Table};
use crate::values::{ByteSize, Timestamp};
use crate::zone::{Zone, words};

/// The most that a policy file may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Zones.
    pub zones: usize,
    /// Rules, those that zones bring with them included.
    pub rules: usize,
    /// Network profiles.
    pub networks: usize,
    /// Brackets within brackets.
    pub nesting: usize,
}

/// The limits that every policy is held to.
pub const LIMITS: Limits = Limits {
    bytes: 4 << 20,
    zones: 256,
    rules: 10_000,
    networks: 256,
    nesting: 16,
};

words! {
    /// What moves the focus.
    Focus from keys::FOCUS {
        /// A click or a chord.
        ClickOrChord,
        /// A click only.
        Click,
        /// A chord only.
        Chord,
    }
}

words! {
    /// A layer of the jail around a zone process.
    JailLayer from keys::LAYERS {
        /// A user of its own without rights.
        User,
        /// Namespaces of its own.
        Namespaces,
        /// An empty root directory.
        Root,
        /// A list of system calls that it may make.
        Seccomp,
        /// No access to files.
        Landlock,
        /// It can gain no privileges.
        NoNewPrivileges,
        /// Limits on what it may use.
        Rlimits,
    }
}

words! {
    /// One of the endpoint's own acts that a chord starts.
    ChordAction from keys::CHORD_ACTIONS {
        /// Focus to the next zone.
        FocusNext,
        /// Focus to the zone before.
        FocusPrevious,
        /// Bring what was copied in another zone to the focused one.
        Paste,
        /// Lock the desktop.
        Lock,
        /// Take a picture of the desktop.
        Screenshot,
        /// Free the pointer.
        ReleasePointer,
    }
}

words! {
    /// What happens when a record cannot be written.
    WhenFull from keys::WHEN_FULL {
        /// Flows that need a record are denied.
        DenyFlows,
        /// All zones are locked.
        LockZones,
    }
}

words! {
    /// What happens when the policy was not renewed in time.
    AtLockout from keys::AT_LOCKOUT {
        /// All zones are locked.
        LockZones,
        /// Every flow is denied.
        DenyFlows,
    }
}

/// Who made which version of the policy, and when it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The policy's name.
    pub id: String,
    /// Its version, 1 or more.
    pub version: u64,
    /// When this version was made.
    pub issued: Option<Timestamp>,
    /// From when it holds.
    pub not_before: Option<Timestamp>,
    /// Until when it holds.
    pub expires: Option<Timestamp>,
    /// The oldest engine that understands it: major, minor, patch.
    pub minimum_engine: Option<(u64, u64, u64)>,
    /// The SHA-256 of the policy file that this one replaces.
    pub previous: Option<[u8; 32]>,
    /// For people.
    pub comment: String,
    /// Where it stands.
    pub span: Span,
    pub(crate) expires_span: Option<Span>,
    pub(crate) previous_span: Option<Span>,
}

/// What zones that use this profile may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkProfile {
    /// Its name.
    pub name: String,
    /// Hosts.
    pub hosts: Vec<HostPattern>,
    /// Ports; empty for any.
    pub ports: Vec<PortRange>,
    /// Networks that the endpoint must be connected to; empty for any.
    pub connected: Vec<TextPattern>,
    /// Where it stands.
    pub span: Span,
}

/// Keys that the endpoint keeps for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The secure attention key.
    pub attention_key: Chord,
    /// What moves the focus.
    pub focus: Focus,
    /// How long a prompt waits before it takes a key or a click.
    pub arm_delay: Duration,
    /// Chords for the endpoint's own acts; each act has one.
    pub chords: Vec<(ChordAction, Chord)>,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            attention_key: Chord::ATTENTION,
            focus: Focus::ClickOrChord,
            arm_delay: Duration::from_secs(1),
            chords: default_chords(),
        }
    }
}

/// Layers without which no zone starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jail {
    /// The layers, in the order of [`JailLayer::ALL`].
    pub required: Vec<JailLayer>,
}

/// What happens when the policy is not renewed in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// How long after it was issued the policy may be used.
    pub after: Duration,
    /// How long before that the panel says so.
    pub warn: Duration,
    /// What happens then.
    pub then: AtLockout,
}

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Verdicts that are recorded.
    pub record: Vec<Verdict>,
    /// The size at which a log file is closed.
    pub segment: ByteSize,
    /// How many closed files are kept.
    pub keep: u32,
    /// What happens when a record cannot be written.
    pub when_full: WhenFull,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            record: Verdict::ALL.to_vec(),
            segment: ByteSize(16 << 20),
            keep: 64,
            when_full: WhenFull::DenyFlows,
        }
    }
}

/// A policy in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// The header; an unsigned policy may do without.
    pub header: Option<Header>,
    /// The zones, in the order of the file.
    pub zones: Vec<Zone>,
    /// The rules, those that zones bring with them first.
    pub rules: Vec<Rule>,
    /// The network profiles.
    pub networks: Vec<NetworkProfile>,
    /// Keys and focus.
    pub input: Input,
    /// The jail.
    pub jail: Jail,
    /// The lock-out, if there is one.
    pub lockout: Option<Lockout>,
    /// The records.
    pub audit: Audit,
    /// Indirect ways from a higher to a lower level that are meant, and where the file says so.
    pub accepted_ways: Vec<(ZoneName, ZoneName, Span)>,
    source: Source,
    hash: [u8; 32],
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// Every mistake of the file, each with its place, an excerpt and the mend.
    pub fn parse(file_name: &str, bytes: &[u8]) -> Result<Self, Errors> {
        let source = decode(file_name, bytes)?;
        let reporter = Reporter::new(&source);
        let root = parse(&source, &reporter);
        let span = Span::default();
        let file = Table::open(&reporter, &keys::FILE, root.get_ref(), span, "the policy");
        let parts = Parts::read(&reporter, &file);
        let (zones, networks, written) = (parts.zones, parts.networks, parts.rules);
        let mut rules = brought_rules(&source, &zones, &networks);
        rules.extend(written);
        check_rule_count(&reporter, &rules);
        reporter.finish()?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Ok(Self {
            header: parts.header,
            zones,
            rules,
            networks,
            input: parts.input,
            jail: parts.jail,
            lockout: parts.lockout,
            audit: parts.audit,
            accepted_ways: parts.accepted_ways,
            source,
            hash,
        })
    }

    /// The zone with this name.
    pub fn zone(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.name == name)
    }

    /// The network profile with this name.
    pub fn network(&self, name: &str) -> Option<&NetworkProfile> {
        self.networks.iter().find(|profile| profile.name == name)
    }

    /// The file it was read from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The SHA-256 of the file's bytes.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// An error about something in the file that only its user can find, such as an image that is not there.
    pub fn error_at(
        &self,
        span: Span,
        code: &'static str,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::error(&self.source, span, code, message).mend(mend)
    }

    /// `line N` or the rule's name with file and line.
    pub fn rule_place(&self, rule: &Rule) -> String {
        format!("\"{}\" ({}:{})", rule.name, self.source.name(), rule.line)
    }
}

fn default_chords() -> Vec<(ChordAction, Chord)> {
    use ChordAction::{FocusNext, FocusPrevious, Lock, Paste, ReleasePointer, Screenshot};
    let keys = [
        (FocusNext, 15, false),
        (FocusPrevious, 15, true),
        (Paste, 47, false),
        (Lock, 38, false),
        (Screenshot, 99, false),
        (ReleasePointer, 1, false),
    ];
    keys.into_iter()
        .map(|(action, key, shift)| (action, Chord::with_meta(key, shift)))
        .collect()
}
