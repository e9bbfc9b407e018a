//! What `bulkhead usb` asks of a running desktop. The policy decides all the same, and asks at the desktop where it asks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a program asks of a running desktop.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Give a device to a zone.
    Attach {
        /// Its port or vendor:product.
        device: String,
        /// The zone.
        zone: String,
    },
    /// Take a device back, or all of them.
    Detach {
        /// Its port or vendor:product; none means all.
        device: Option<String>,
    },
    /// Plug in a device that exists in memory.
    Simulate {
        /// The file of its descriptors.
        descriptors: PathBuf,
        /// The file of what it sends.
        script: Option<PathBuf>,
    },
}

/// What the desktop answers: words for the person, good or bad.
pub type Reply = Result<String, String>;
