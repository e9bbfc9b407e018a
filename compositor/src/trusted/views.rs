//! What the endpoint tells the pages of the trusted UI: plain data, so that this crate knows nothing of policies, logs or
//! devices. Every text is a [`Label`], so that nothing a zone or a device wrote can be shown as anything but itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::text::Label;
use crate::zone::ZoneId;

/// More records than this are never held at once: the log is read in windows.
pub const AUDIT_WINDOW: usize = 256;
/// More devices than this are not shown.
pub const USB_DEVICES: usize = 64;

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

/// The policy at work, as its page shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyView {
    /// What it is and how it fares: its file, version, hash, who signed it; one line each, at most four.
    pub facts: Vec<Label>,
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
    /// How the log fares, in the endpoint's words.
    pub health: Label,
    /// How many records match the filter.
    pub matching: u64,
    /// How many of them are newer than the first one here.
    pub skipped: u64,
    /// The records; those beyond [`AUDIT_WINDOW`] are not kept.
    pub records: Vec<RecordView>,
}

/// A record of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordView {
    /// When.
    pub time: Label,
    /// What happened, in a word.
    pub what: Label,
    /// Whom it concerns.
    pub zone: Label,
    /// The rest.
    pub text: Label,
    /// Something was refused, killed or failed.
    pub alarming: bool,
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
    /// The rule that decides where it may go.
    pub rule: Label,
    /// The zones it may go to (after a question, where the rule says so).
    pub may_go_to: Vec<ZoneId>,
}

/// What a person wants done with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsbCommand {
    /// Give it to that zone.
    Attach(ZoneId),
    /// Take it back.
    Detach,
}

/// What a page needs to show: the endpoint answers with the scene's `set_policy_view`, `set_audit_view` or `set_usb_view`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The policy at work.
    Policy,
    /// A window of the audit log: `count` records at most, after the `skip` newest of those that contain every word of
    /// `filter`.
    Audit {
        /// Words, separated by spaces; empty for all records.
        filter: String,
        /// So many newer ones are left out.
        skip: u64,
        /// So many are wanted, at most [`AUDIT_WINDOW`].
        count: usize,
    },
    /// The devices.
    Usb,
}

/// How something fares that the panel has a sign for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// There is none: no sign.
    #[default]
    Absent,
    /// As it should be.
    Good,
    /// Something is to be looked at.
    Warned,
}

/// The signs at the right end of the panel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PanelSigns {
    /// The time, as it is to be read.
    pub clock: Option<Label>,
    /// Which layout the keyboard has in the trusted UI.
    pub layout: bool,
    /// The policy: signed, valid, at work.
    pub policy: Health,
    /// The audit log: records can be written.
    pub audit: Health,
    /// USB devices: some zone has one; warned: one was refused.
    pub usb: Health,
    /// Zones' network.
    pub network: Health,
}
