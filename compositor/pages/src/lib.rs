//! The pages a person works with: zones, policy, log, devices, settings.
//!
//! They are made with egui and painted here, on the processor, into the picture that the scene shows inside a sheet of its
//! own. egui meets neither a window nor a graphics card. What it is given to show are plain views whose every text is a
//! [`Label`](compositor::Label): what zones, devices and records wrote has lost whatever a text shaper could be fooled with.
//!
//! Pages decide nothing. They ask for acts ([`Act`]), and the endpoint asks the policy. While no page is up nothing of all
//! this is in memory; while one is up and nothing changes, nothing is computed and nothing wakes.
//!
//! ```
//! use compositor::{Scale, Scene, Settings, Size};
//! use std::time::Duration;
//! use trusted_pages::Pages;
//!
//! let mut scene = Scene::new(Size::new(1280, 800), Scale::ONE, Settings::default());
//! let mut pages = Pages::default();
//! // After everything that may have changed the scene:
//! let acts = pages.turn(&mut scene, Duration::ZERO);
//! assert_eq!(acts, [], "no page is up");
//! ```
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate self as trusted_pages;

mod desk;
mod input;
mod look;
mod page;
mod painter;
#[cfg(test)]
mod tests;
mod tree;
mod views;
mod widgets;
mod words;

use std::time::Duration;

use compositor::{
    Scene, Settings, WorkPage, WorkSpace, ZoneCommand, ZoneId, ZoneIdentity, ZoneState,
};

use desk::Desk;
pub use views::*;

/// So often in a row a page is run because it asks for it; what it asks for then waits for the next frame.
const MOST_PASSES: usize = 8;
/// When that is.
const FRAME: Duration = Duration::from_micros(16_600);

/// What the endpoint is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A page needs this.
    Query(Query),
    /// A person asked this of a zone.
    Command(ZoneId, ZoneCommand),
    /// A person asked this of a USB device.
    Usb(UsbDeviceId, UsbCommand),
    /// A person changed how the trusted UI looks; the scene looks so already.
    SettingsChanged(Settings),
    /// A person wants the screen locked.
    Lock,
}

/// What a person did on a page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wish {
    Act(Act),
    Choose(Settings),
    Leave,
    Show(ZoneId),
    Turn(WorkPage),
}

/// A zone as the scene knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) identity: ZoneIdentity,
    pub(crate) state: ZoneState,
}

/// Everything a page is made of that is not the page's own.
#[derive(PartialEq)]
struct Ground {
    space: WorkSpace,
    settings: Settings,
    zones: Vec<Zone>,
}

impl Ground {
    fn of(scene: &Scene, space: WorkSpace) -> Self {
        let zones = scene.zones().filter_map(|identity| {
            Some(Zone {
                identity: identity.clone(),
                state: scene.zone_state(identity.id)?.clone(),
            })
        });
        Self {
            space,
            settings: scene.settings(),
            zones: zones.collect(),
        }
    }
}

/// The pages.
#[derive(Default)]
pub struct Pages {
    views: Views,
    /// A view was set since the page was run.
    changed: bool,
    desk: Option<Desk>,
}

impl Pages {
    /// What is said of zones from now on.
    pub fn set_zones(&mut self, view: ZonesView) {
        self.changed |= self.views.zones != view;
        self.views.zones = view;
    }

    /// What the policy page shows from now on.
    pub fn set_policy(&mut self, view: PolicyView) {
        self.changed |= self.views.policy != view;
        self.views.policy = view;
    }

    /// What the page of the log shows from now on.
    pub fn set_audit(&mut self, mut view: AuditView) {
        view.records.truncate(AUDIT_WINDOW);
        self.changed = true;
        self.views.audit = view;
        if let Some(desk) = &mut self.desk {
            desk.log_came();
        }
    }

    /// What the page of the devices shows from now on.
    pub fn set_usb(&mut self, mut view: UsbView) {
        view.devices.truncate(USB_DEVICES);
        self.changed |= self.views.usb != view;
        self.views.usb = view;
    }

    /// When [`Pages::turn`] is due though nothing else happens. None: nothing is.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        self.desk.as_ref().and_then(|desk| desk.wake)
    }

    /// Brings the page that is up in line with its input, the scene and the views, paints what changed of it, and says what
    /// the endpoint is to do. Cheap where nothing changed. `now` is the scene's time.
    #[must_use]
    pub fn turn(&mut self, scene: &mut Scene, now: Duration) -> Vec<Act> {
        let mut acts = Vec::new();
        for _ in 0..MOST_PASSES {
            let Some(space) = scene.work_space() else {
                // What was seen there is not kept.
                *self = Self::default();
                return acts;
            };
            let ground = Ground::of(scene, space);
            let input = scene.take_page_input();
            let desk = match &mut self.desk {
                Some(desk) if desk.ground.space.visit == space.visit => desk,
                desk => {
                    acts.extend(Desk::needs(space.page).map(Act::Query));
                    let kept = desk.take();
                    desk.insert(Desk::new(kept, &ground))
                }
            };
            let due = desk.wake.is_some_and(|wake| wake <= now);
            if desk.has_run && input.is_empty() && !self.changed && !due && desk.ground == ground {
                return acts;
            }
            desk.ground = ground;
            self.changed = false;
            let wishes = desk.run(&self.views, &input, now, scene);
            for wish in wishes {
                match wish {
                    Wish::Act(act) => acts.push(act),
                    Wish::Choose(settings) => {
                        scene.set_settings(settings);
                        acts.push(Act::SettingsChanged(settings));
                    }
                    Wish::Leave => scene.leave_page(),
                    Wish::Show(zone) => scene.leave_page_for(zone),
                    Wish::Turn(page) => scene.turn_to(page),
                }
            }
        }
        if let Some(desk) = &mut self.desk {
            desk.wake = desk.wake.map(|wake| wake.max(now + FRAME));
        }
        acts
    }
}
