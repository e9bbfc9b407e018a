//! The input device (virtio 1.2, section 5.8): a keyboard, an absolute pointer, a power button.
//!
//! The host sends whole reports; the guest takes events as it gives buffers. While it gives none, motion is merged and
//! keys wait in a bounded queue. If that overflows, the waiting events are dropped and the device catches up later: it
//! sends one transition for each key whose state the guest has wrong. So a key can never stay pressed, nor a press that
//! still holds go missing; only whole press-release pairs that the guest slept through are lost, and
//! [`InputHandle::send`] says so. No device repeats keys (no EV_REP, value 2 never sent): what a held key means is the
//! guest's own affair.

mod keys;
mod reports;

pub use keys::{BTN_EXTRA, BTN_LEFT, BTN_MIDDLE, BTN_RIGHT, BTN_SIDE, KEY_POWER, is_keyboard_key};
pub use reports::Delivery;

use self::reports::Reports;
use crate::chain::Broken;
use crate::device::{Device, Slot, copy_config};
use crate::queues::{Outcome, Queues};
use crate::transport::{Handle, Transport};
use crate::wire::put;

const DEVICE_TYPE: u32 = 18;
const EVENT_QUEUE: usize = 0;
const QUEUE_SIZE: u16 = 64;
const EVENT_SIZE: usize = 8;

/// Event types of evdev.
const EV_SYN: u16 = 0;
const EV_KEY: u16 = 1;
const EV_REL: u16 = 2;
const EV_ABS: u16 = 3;
const EV_LED: u16 = 17;

const REL_HWHEEL: u16 = 6;
const REL_WHEEL: u16 = 8;
const REL_WHEEL_HI_RES: u16 = 11;
const REL_HWHEEL_HI_RES: u16 = 12;
const ABS_X: u16 = 0;
const ABS_Y: u16 = 1;

/// The largest absolute coordinate; the smallest is 0.
pub const POINTER_MAX: u32 = 32767;
/// Parts of one wheel notch in which high-resolution wheels count.
const NOTCH: i32 = 120;

/// One thing that happened on a device. Codes the device does not have are dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InputEvent {
    /// A key or button, by its evdev code, went down or up.
    Key {
        /// evdev code.
        code: u16,
        /// Down or up.
        pressed: bool,
    },
    /// The pointer is here, each axis between 0 and [`POINTER_MAX`].
    Position {
        /// From the left edge.
        x: u32,
        /// From the top edge.
        y: u32,
    },
    /// The wheels turned, in 1/120 notches: positive is away from the user and to the right.
    Wheel {
        /// The vertical wheel.
        vertical: i32,
        /// The horizontal wheel.
        horizontal: i32,
    },
}

/// The host side of an input device.
#[derive(Clone)]
pub struct InputHandle(Handle<Input>);

impl InputHandle {
    /// Sends events that happened together, as one report.
    pub fn send(&self, events: &[InputEvent]) -> Delivery {
        self.0.with(|input, queues| {
            let delivery = input.reports.push(events, queues.live());
            input.deliver(queues)?;
            Ok(delivery)
        })
    }
}

/// An input device.
pub struct Input {
    model: Model,
    reports: Reports,
    select: u8,
    subselect: u8,
}

/// What kind of device the guest sees.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Model {
    Keyboard,
    Pointer,
    PowerButton,
}

impl Input {
    /// Plugs a PC keyboard into `slot`.
    pub fn keyboard(slot: Slot) -> (Transport, InputHandle) {
        Self::plug(slot, Model::Keyboard)
    }

    /// Plugs an absolute pointer with five buttons and two wheels into `slot`.
    pub fn pointer(slot: Slot) -> (Transport, InputHandle) {
        Self::plug(slot, Model::Pointer)
    }

    /// Plugs a power button, which has nothing but KEY_POWER, into `slot`.
    pub fn power_button(slot: Slot) -> (Transport, InputHandle) {
        Self::plug(slot, Model::PowerButton)
    }

    fn plug(slot: Slot, model: Model) -> (Transport, InputHandle) {
        let handle = Handle::plug(
            slot,
            Self {
                model,
                reports: Reports::new(model),
                select: 0,
                subselect: 0,
            },
        );
        (handle.transport(), InputHandle(handle))
    }

    fn deliver(&mut self, queues: &mut Queues) -> Result<(), Broken> {
        let reports = &mut self.reports;
        queues.serve(EVENT_QUEUE, |memory, chain| {
            let Some(event) = reports.front() else {
                return Ok(Outcome::Later);
            };
            chain.writable.write(memory, &event.to_bytes())?;
            reports.pop();
            Ok(Outcome::Used(chain.writable.passed()))
        })
    }

    /// The data that the configuration space shows for the current selection.
    fn selected(&self) -> Vec<u8> {
        match (self.select, self.subselect) {
            (0x01, 0) => self.model.name().as_bytes().to_vec(),
            // No serial number: devices of a kind are alike.
            (0x03, 0) => self.model.identity().to_vec(),
            (0x11, kind) => bitmap(&self.model.codes(u16::from(kind))),
            (0x12, axis) if self.model.has_axis(u16::from(axis)) => {
                let mut info = vec![0; 20];
                put(&mut info, 4, &POINTER_MAX.to_le_bytes());
                info
            }
            _ => Vec::new(),
        }
    }
}

impl Device for Input {
    fn device_type(&self) -> u32 {
        DEVICE_TYPE
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        // Events, and the status (LEDs) that the guest sends back.
        &[QUEUE_SIZE, QUEUE_SIZE]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let mut space = [0; 136];
        let selected = self.selected();
        let size = u8::try_from(selected.len()).unwrap_or(0);
        put(&mut space, 0, &[self.select, self.subselect, size]);
        put(&mut space, 8, &selected);
        copy_config(&space, offset, data);
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        for (place, byte) in (offset..).zip(data) {
            match place {
                0 => self.select = *byte,
                1 => self.subselect = *byte,
                _ => break,
            }
        }
    }

    fn activate(&mut self, queues: &mut Queues) -> Result<(), Broken> {
        self.deliver(queues)
    }

    fn notify(&mut self, queue: usize, queues: &mut Queues) -> Result<(), Broken> {
        if queue == EVENT_QUEUE {
            return self.deliver(queues);
        }
        // The keyboard's lights have nowhere to shine.
        queues.serve(queue, |_, _| Ok(Outcome::Used(0)))
    }

    fn reset(&mut self) {
        self.reports.reset();
        self.select = 0;
        self.subselect = 0;
    }
}

impl Model {
    fn name(self) -> &'static str {
        match self {
            Self::Keyboard => "Bulkhead Keyboard",
            Self::Pointer => "Bulkhead Pointer",
            Self::PowerButton => "Power Button",
        }
    }

    /// Bus (virtual), vendor, product, version.
    fn identity(self) -> [u8; 8] {
        let product = match self {
            Self::Keyboard => 1,
            Self::Pointer => 2,
            Self::PowerButton => 3,
        };
        [6, 0, 0x4c, 0x42, product, 0, 1, 0]
    }

    /// The codes of an event type that the device can send (or, for lights, take).
    fn codes(self, kind: u16) -> Vec<u16> {
        match (self, kind) {
            (_, EV_KEY) => keys::all().filter(|code| self.has_key(*code)).collect(),
            (Self::Keyboard, EV_LED) => vec![0, 1, 2],
            (Self::Pointer, EV_REL) => {
                vec![REL_HWHEEL, REL_WHEEL, REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES]
            }
            (Self::Pointer, EV_ABS) => vec![ABS_X, ABS_Y],
            _ => Vec::new(),
        }
    }

    fn has_key(self, code: u16) -> bool {
        match self {
            Self::Keyboard => is_keyboard_key(code),
            Self::Pointer => (BTN_LEFT..=BTN_EXTRA).contains(&code),
            Self::PowerButton => code == KEY_POWER,
        }
    }

    fn has_axis(self, axis: u16) -> bool {
        self == Self::Pointer && axis <= ABS_Y
    }
}

/// One bit per code, as long as the highest one needs.
fn bitmap(codes: &[u16]) -> Vec<u8> {
    let mut bits = Vec::new();
    for code in codes {
        let byte = usize::from(code / 8);
        if bits.len() <= byte {
            bits.resize(byte.saturating_add(1), 0);
        }
        if let Some(byte) = bits.get_mut(byte) {
            *byte |= 1_u8 << (code % 8);
        }
    }
    bits
}

/// An event as it is written to the guest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Event {
    kind: u16,
    code: u16,
    value: i32,
}

impl Event {
    const SYN: Self = Self {
        kind: EV_SYN,
        code: 0,
        value: 0,
    };

    fn to_bytes(self) -> [u8; EVENT_SIZE] {
        let mut bytes = [0; EVENT_SIZE];
        put(&mut bytes, 0, &self.kind.to_le_bytes());
        put(&mut bytes, 2, &self.code.to_le_bytes());
        put(&mut bytes, 4, &self.value.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests;
