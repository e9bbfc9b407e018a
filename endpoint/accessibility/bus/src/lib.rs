//! `bulkhead-accessibility`: the process that holds the desktop's accessibility bus, so that the endpoint does not.
//!
//! It is started by the endpoint with its link as standard input and output, gives up what it does not need, and hands each tree it
//! is told to AT-SPI's adapter. What the bus asks for (to press, to focus, to set a value) ends here: it is dropped, and the link
//! has no words for it. The adapter speaks to nobody until the session says that an assistive technology is at work.
//!
//! Trust: none is placed in it. It holds what it was told, which is what every listener on the bus may hear. Exit codes: 0 the
//! endpoint is gone, 1 the bus failed, 2 the endpoint's words could not be read, 3 it could not be jailed.

#![forbid(unsafe_code)]

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use accessibility::{ALONE, LISTENING, Told};
use accesskit::{ActionHandler, ActionRequest, ActivationHandler, DeactivationHandler, TreeUpdate};
use accesskit_unix::Adapter;
use zone_jail::{Jail, Layer, Layers, Limits};

/// What the trees and the bus's messages may take, in bytes.
const MEMORY: u64 = 256 << 20;

/// What no kernel may refuse.
const REQUIRED: [Layer; 4] = [
    Layer::ClosedDescriptors,
    Layer::ResourceLimits,
    Layer::NoNewPrivileges,
    Layer::NoCapabilities,
];

/// What the bus needs: it looks at the user of whoever connects, its socket may have a name outside the file system, and sockets
/// are made and threads started when somebody begins to listen.
const LEFT_OUT: [Layer; 9] = [
    Layer::UnprivilegedUser,
    Layer::UserNamespace,
    Layer::MountNamespace,
    Layer::PidNamespace,
    Layer::NetworkNamespace,
    Layer::IpcNamespace,
    Layer::EmptyRoot,
    Layer::LandlockScope,
    Layer::Seccomp,
];

/// Runs to the end of the link. It has to come first in a program.
#[must_use]
pub fn run() -> ExitCode {
    let limits = Limits {
        memory_bytes: Some(MEMORY),
        ..Limits::default()
    };
    let jail = Jail::new(REQUIRED.into_iter().collect::<Layers>())
        .leave_out(LEFT_OUT.into_iter().collect())
        .limits(limits);
    if let Err(error) = jail.apply() {
        eprintln!("bulkhead-accessibility: {error}");
        return ExitCode::from(3);
    }
    // The adapter's thread panics when the bus fails. Without it there is nothing left to do.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("bulkhead-accessibility: {panic}");
        std::process::exit(1);
    }));
    let mut adapter = Adapter::new(Endpoint, Nobody, Endpoint);
    for line in io::stdin().lock().lines() {
        let told = line.and_then(|line| Ok(serde_json::from_str::<Told>(&line)?));
        let told = match told {
            Ok(told) => told,
            Err(error) => {
                eprintln!("bulkhead-accessibility: what the endpoint told cannot be read: {error}");
                return ExitCode::from(2);
            }
        };
        adapter.set_root_window_bounds(told.place, told.place);
        adapter.update_if_active(|| told.tree);
        adapter.update_window_focus_state(told.has_keyboard);
    }
    ExitCode::SUCCESS
}

/// Tells the endpoint whether somebody listens.
struct Endpoint;

impl Endpoint {
    fn say(&self, word: u8) {
        let mut out = io::stdout().lock();
        // If the endpoint is gone, its link ends, too.
        let _ = out.write_all(&[word]).and_then(|()| out.flush());
    }
}

impl ActivationHandler for Endpoint {
    fn request_initial_tree(&mut self) -> Option<TreeUpdate> {
        self.say(LISTENING);
        None
    }
}

impl DeactivationHandler for Endpoint {
    fn deactivate_accessibility(&mut self) {
        self.say(ALONE);
    }
}

/// Hears what programs on the bus ask for, and does none of it: only a person's keys and pointer act.
struct Nobody;

impl ActionHandler for Nobody {
    fn do_action(&mut self, _: ActionRequest) {}
}
