//! The policy language, its verdicts and the audit chain.
//!
//! One TOML file says everything about an endpoint: which zones exist, how they are marked, and what may cross from one
//! to another. This crate reads that file ([`Policy::parse`]) and reports every mistake with file, line, column and the
//! mend. It opens no file and no socket of its own: it works on bytes it is given.
#![forbid(unsafe_code)]

mod chord;
mod colour;
mod condition;
mod diagnostic;
mod keys;
mod names;
mod pattern;
mod policy;
mod rule;
mod tree;
mod values;
mod zone;

pub use chord::{Chord, Modifiers};
pub use colour::Colour;
pub use condition::{Condition, Conditions};
pub use diagnostic::{Diagnostic, Errors, Location, Severity, Source, Span};
pub use names::{NameError, ZoneName};
pub use pattern::{ExtensionPattern, HostPattern, MimePattern, PortRange, TextPattern, UsbPattern};
pub use policy::{
    Audit, ChordAction, Focus, Header, Input, Jail, JailLayer, LIMITS, Limits, Lockout,
    NetworkProfile, Policy, WhenFull,
};
pub use rule::{
    Grant, Kind, KindSet, LevelRelation, LogDetail, Obligations, Origin, Rule, Scrub, Selector,
    Verdict,
};
pub use values::{ByteSize, Days, Hours, Rate, Timestamp};
pub use zone::{
    Budget, Fullscreen, Icon, Image, Persistence, ScreenshotRule, Shape, Surface, Zone,
};
