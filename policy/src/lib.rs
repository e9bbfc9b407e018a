//! The policy language, its verdicts and the audit chain.
//!
//! One TOML file says everything about an endpoint: which zones exist, how they are marked, and what may cross from one
//! to another.
//!
//! - [`Policy::parse`] reads it and reports every mistake with file, line, column and the mend.
//! - [`Decider`] is a policy made ready: `decide`, `explain`, `matrix`, `reach`, `lint`; [`Difference`] and [`Simulation`]
//!   compare policies by verdicts, [`Expectations`] tests one.
//! - [`Engine`] is a policy at work: it counts rates, keeps what users granted, and hands out the [`Permit`]s without which
//!   nothing crosses. It is the only way to get one.
//! - [`Store`] installs signed policies and never goes back; [`audit`] records what was decided.
//!
//! The crate trusts nothing that it reads. It works on bytes it is given; only [`Directory`], an implementation of [`Disk`],
//! touches files, for the store and the log. Clocks are handed in.
#![forbid(unsafe_code)]

pub mod audit;
mod chord;
mod colour;
mod condition;
mod cross_check;
mod decide;
mod diagnostic;
mod diff;
mod directory;
mod disk;
mod engine;
mod expectations;
mod explain;
mod format;
pub mod fuzzing;
mod idle;
mod install;
mod keys;
mod lint;
mod matching;
mod matrix;
mod names;
mod page;
mod pattern;
mod policy;
mod reach;
mod read;
mod request;
mod rule;
mod samples;
mod schema;
mod settings;
mod signature;
mod simulate;
mod store;
mod syntax;
mod tree;
mod usb;
mod values;
mod zone;

pub use chord::{Chord, Modifiers};
pub use colour::{Colour, Sight};
pub use condition::{Condition, Conditions};
pub use decide::{Decider, Decision, Duties, Reason, RuleId};
pub use diagnostic::{Diagnostic, Errors, Location, Severity, Source, Span};
pub use diff::{ChangedCell, ChangedVerdict, Difference};
pub use directory::Directory;
pub use disk::Disk;
pub use engine::{Answer, Engine, Outcome, Permit, Prompt, Standing};
pub use expectations::{Expectations, TestReport};
pub use explain::{Considered, Explanation, Fate, Step};
pub use format::format;
pub use install::{Accepted, Candidate, Circumstances, ENGINE, InstallError, Memory, VERSION_JUMP};
pub use matching::Failing;
pub use matrix::{Cell, Matrix};
pub use names::{NameError, ZoneName};
pub use pattern::{ExtensionPattern, HostPattern, MimePattern, PortRange, TextPattern};
pub use policy::{
    Audit, ChordAction, Focus, Header, Input, Jail, JailLayer, LIMITS, Limits, Lockout,
    NetworkProfile, Policy, WhenFull,
};
pub use reach::{CARRYING, Hop, Outside, Path, Reach};
pub use request::{FactError, Facts, FileName, Mime, Moment, Party, Request, Url, Word};
pub use rule::{
    Grant, Kind, KindSet, LevelRelation, LogDetail, Obligations, Origin, Rule, Scrub, Selector,
    UsbExtra, Verdict,
};
pub use schema::{all_keys, schema};
pub use signature::{
    KeyError, PrivateKey, PublicKey, SignatureError, SignatureFile, TrustStore, TrustedKey,
};
pub use simulate::{Changed, Simulation};
pub use store::{Active, Status, Store, StoreError};
pub use usb::{UsbClass, UsbDevice, UsbHash, UsbPattern, UsbUsage};
pub use values::{ByteSize, Days, Hours, Rate, Timestamp};
pub use zone::{
    Budget, Fullscreen, Icon, Image, Persistence, ScreenshotRule, Shape, Surface, Zone,
};
