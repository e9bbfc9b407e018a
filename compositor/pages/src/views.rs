//! What the endpoint tells the pages: plain data, so that this crate knows nothing of policies, logs or devices. Every text is
//! a [`Label`], so that nothing a zone or a device wrote can be shown as anything but itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use compositor::{Label, ZoneId};

/// More records than this are never held at once: the log is read in windows.
pub const AUDIT_WINDOW: usize = 512;
/// More devices than this are not shown.
pub const USB_DEVICES: usize = 64;
/// The longest filter, in characters.
pub const FILTER_LENGTH: usize = 64;

/// What a policy answers to a flow, from the strictest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowVerdict {
    /// Nothing crosses.
    Deny,
    /// The person is asked.
    Ask,
    /// It crosses.
    Allow,
}

/// What the page of the zones says beside what the scene knows of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZonesView {
    /// A line for each zone that there is something to say of.
    pub zones: BTreeMap<ZoneId, ZoneFacts>,
}

/// A zone in the endpoint's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneFacts {
    /// Its guest's memory.
    pub memory: Label,
    /// Its image, and whether its home is kept.
    pub image: Label,
    /// Since when it runs; empty where it does not.
    pub since: Label,
}

/// The policy at work, as its page shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyView {
    /// What it is: its file, version, hash, who signed it; one line each, at most four.
    pub facts: Vec<Label>,
    /// What is wrong with it; empty where nothing is.
    pub trouble: Label,
    /// The ends of flows in the order of the file: the zones, and the host.
    pub parties: Vec<PartyView>,
    /// The kinds of flows.
    pub kinds: Vec<Label>,
    /// The rules, by the numbers that cells name.
    pub rules: Vec<RuleView>,
    /// What can happen, by kind, sender and receiver (places in the lists above). Where there is no cell nothing can.
    pub cells: BTreeMap<(u16, u16, u16), CellView>,
}

/// One end of flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartyView {
    /// Its name.
    pub name: Label,
    /// The zone it is; none for the host.
    pub zone: Option<ZoneId>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleView {
    /// Its verdict.
    pub verdict: FlowVerdict,
    /// Its name, where it stands, and its conditions.
    pub words: Label,
}

/// What can happen with one kind of flow between two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellView {
    /// The most that can be let through.
    pub best: FlowVerdict,
    /// Less may be: conditions decide.
    pub conditional: bool,
    /// Some of it goes to another zone instead.
    pub redirects: bool,
    /// The rules that can decide, strictest first.
    pub rules: Arc<[u16]>,
}

/// A window of the audit log, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditView {
    /// What is wrong with the log; empty where nothing is.
    pub trouble: Label,
    /// How many records match the filter.
    pub matching: u64,
    /// How many of them are newer than the first one here.
    pub skipped: u64,
    /// The records; those beyond [`AUDIT_WINDOW`] are not kept.
    pub records: Vec<RecordView>,
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKind {
    /// Something crossed between zones, or was not let.
    Flow,
    /// Another policy.
    Policy,
    /// What became of a zone.
    Zone,
    /// The desktop itself.
    Session,
    /// The log itself.
    Log,
}

impl RecordKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Flow,
        Self::Policy,
        Self::Zone,
        Self::Session,
        Self::Log,
    ];
}

/// A record of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordView {
    /// When.
    pub time: Label,
    /// What it is about.
    pub kind: RecordKind,
    /// What happened, in a word.
    pub what: Label,
    /// Whom it concerns.
    pub zone: Label,
    /// The zone of that name that there is now.
    pub id: Option<ZoneId>,
    /// The rest.
    pub text: Label,
    /// Something was refused, killed or failed.
    pub alarming: bool,
}

/// Which records are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Words, separated by spaces, that all of them contain in any case; at most [`FILTER_LENGTH`] characters.
    pub words: String,
    /// The zone they concern.
    pub zone: Option<ZoneId>,
    /// What they are about.
    pub kind: Option<RecordKind>,
}

/// The USB devices that are plugged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsbView {
    /// Why none can be used, where that is so.
    pub remark: Option<Label>,
    /// The devices; those beyond [`USB_DEVICES`] are not kept.
    pub devices: Vec<UsbDeviceView>,
}

/// A USB device, as the endpoint numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsbDeviceId(pub u32);

/// A USB device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsbDeviceView {
    /// Its number.
    pub id: UsbDeviceId,
    /// What it says it is.
    pub name: Label,
    /// Vendor and product number, kinds of interface.
    pub facts: Label,
    /// The zone that has it.
    pub held_by: Option<ZoneId>,
    /// What the policy says for each zone.
    pub zones: Vec<UsbZoneView>,
}

/// Whether a zone may have a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsbZoneView {
    /// Which zone.
    pub zone: ZoneId,
    /// Whether it may.
    pub verdict: FlowVerdict,
    /// By which rule.
    pub why: Label,
}

/// What a person wants done with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsbCommand {
    /// Give it to that zone.
    Attach(ZoneId),
    /// Take it back.
    Detach,
}

/// What a page needs to show: the endpoint answers with [`Pages`](crate::Pages)'s `set_zones`, `set_policy`, `set_audit` or `set_usb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// What is to be said of the zones.
    Zones,
    /// The policy at work.
    Policy,
    /// A window of the audit log: `count` records at most, after the `skip` newest of those that match.
    Audit {
        /// Which match.
        filter: AuditFilter,
        /// So many newer ones are left out.
        skip: u64,
        /// So many are wanted, at most [`AUDIT_WINDOW`].
        count: usize,
    },
    /// The devices.
    Usb,
}

/// Everything the endpoint told the pages, within bounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Views {
    pub(crate) zones: ZonesView,
    pub(crate) policy: PolicyView,
    pub(crate) audit: AuditView,
    pub(crate) usb: UsbView,
}
