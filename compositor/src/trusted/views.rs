//! What the endpoint tells the panel: plain data, so that this crate knows nothing of policies, logs or devices.

use crate::text::Label;

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
