//! Keyboards and pointers, each grabbed so that nothing else hears it, and what they say as input events.
//!
//! A device is whatever was plugged in: it can press keys and move the pointer, as a person can, and nothing more.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use compositor::{InputEvent, KeyMovement, Point, Size};
use evdev::{AbsoluteAxisCode, Device, EventType, KeyCode, PropType, RelativeAxisCode};

/// Reads from one device in one turn; what it has beyond waits, so that a device that never stops holds nothing up.
const TURNS: usize = 16;
/// One notch of a wheel, as the compositor counts.
const NOTCH: i32 = 120;
/// Across a touchpad the pointer goes so many pixels.
const PAD_WIDTH: i64 = 1200;

/// What a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Input(InputEvent),
    /// The machine's power button was pressed.
    PowerButton,
}

/// All devices that are of use.
#[derive(Default)]
pub(super) struct Devices {
    open: Vec<Held>,
    /// Devices that are none of ours, so that they are not opened at each look.
    ignored: BTreeSet<PathBuf>,
}

struct Held {
    path: PathBuf,
    device: Device,
    reader: Reader,
}

impl Devices {
    /// Takes what was plugged in and lets go of what is gone. True if something is gone: keys held on it are not held any more.
    pub(super) fn scan(&mut self) -> bool {
        let there: BTreeSet<PathBuf> = std::fs::read_dir("/dev/input")
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("event"))
            .map(|entry| entry.path())
            .collect();
        let before = self.open.len();
        self.open.retain(|open| there.contains(&open.path));
        let gone = self.open.len() < before;
        self.ignored.retain(|path| there.contains(path));
        for path in there {
            let known = self.ignored.contains(&path);
            if known || self.open.iter().any(|open| open.path == path) {
                continue;
            }
            match Held::take(&path) {
                Ok(Some(open)) => {
                    let name = open.device.name().unwrap_or("no name");
                    tracing::info!("input device {name:?} at {}", path.display());
                    self.open.push(open);
                }
                Ok(None) => {
                    self.ignored.insert(path);
                }
                // It is tried again at the next change: it may be on its way in or out.
                Err(error) => {
                    tracing::warn!("{} cannot be used: {error}", path.display());
                }
            }
        }
        gone
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.iter().map(|open| open.device.as_fd())
    }

    /// What was done on the devices with these places in [`Devices::descriptors`], on a desktop of this size.
    pub(super) fn read(&mut self, ready: &[usize], desktop: Size) -> Vec<Act> {
        let mut acts = Vec::new();
        let mut lost = Vec::new();
        for at in ready {
            if let Some(open) = self.open.get_mut(*at)
                && !open.read(desktop, &mut acts)
            {
                lost.push(open.path.clone());
            }
        }
        if !lost.is_empty() {
            self.open.retain(|open| !lost.contains(&open.path));
            acts.push(Act::Input(InputEvent::KeyboardLost));
            // Another one may have its name by now.
            self.scan();
        }
        acts
    }
}

impl Held {
    /// Opens and grabs a device. `None`: it has neither keys nor a pointer.
    fn take(path: &Path) -> std::io::Result<Option<Self>> {
        let mut device = Device::open(path)?;
        let Some(reader) = Reader::for_device(&device) else {
            return Ok(None);
        };
        device.set_nonblocking(true)?;
        device.grab()?;
        Ok(Some(Self {
            path: path.to_owned(),
            device,
            reader,
        }))
    }

    /// False: the device is gone.
    fn read(&mut self, desktop: Size, acts: &mut Vec<Act>) -> bool {
        for _ in 0..TURNS {
            match self.device.fetch_events() {
                Ok(events) => {
                    for event in events {
                        let (kind, code) = (event.event_type(), event.code());
                        self.reader.take(kind, code, event.value(), desktop, acts);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}

/// How a device points by absolute positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Surface {
    /// It has none.
    #[default]
    None,
    /// A tablet or a virtual machine's pointer: a position is one on the desktop.
    Tablet,
    /// The same, and touching it presses the left button.
    TouchScreen,
    /// A touchpad: only the way of a finger counts.
    Pad,
}

/// From the events of one device to acts.
#[derive(Debug, Default)]
struct Reader {
    surface: Surface,
    /// Smallest and largest position in each direction.
    range: [(i32, i32); 2],
    /// Whether the wheel also tells parts of notches, which then are all that counts.
    fine_wheel: bool,
    /// Since the last report:
    by: [i32; 2],
    wheel: [i32; 2],
    moved: bool,
    pressed: Vec<(u16, bool)>,
    /// Where the finger or pen is, and was at the last report.
    at: [i32; 2],
    was_at: Option<[i32; 2]>,
    touching: bool,
    /// What a touchpad moved less than a pixel, in its own units times `PAD_WIDTH`.
    rest: [i64; 2],
}

impl Reader {
    fn for_device(device: &Device) -> Option<Self> {
        let key = |code| {
            device
                .supported_keys()
                .is_some_and(|keys| keys.contains(code))
        };
        let relative = |code| {
            let axes = device.supported_relative_axes();
            axes.is_some_and(|axes| axes.contains(code))
        };
        let absolute = |code| {
            let axes = device.supported_absolute_axes();
            axes.is_some_and(|axes| axes.contains(code))
        };
        let has_keys = device
            .supported_keys()
            .is_some_and(|keys| keys.iter().any(|key| is_key(key.code())));
        let is_game_pad = key(KeyCode::BTN_SOUTH) || key(KeyCode::BTN_TRIGGER);
        let points = absolute(AbsoluteAxisCode::ABS_X) && absolute(AbsoluteAxisCode::ABS_Y);
        let direct = device.properties().contains(PropType::DIRECT);
        let surface = match (points && !is_game_pad, key(KeyCode::BTN_TOUCH)) {
            (false, _) => Surface::None,
            (true, false) => Surface::Tablet,
            (true, true) if direct => Surface::TouchScreen,
            (true, true) if key(KeyCode::BTN_TOOL_FINGER) => Surface::Pad,
            (true, true) => Surface::Tablet,
        };
        let moves = relative(RelativeAxisCode::REL_X) && relative(RelativeAxisCode::REL_Y);
        if !has_keys && !moves && surface == Surface::None {
            return None;
        }
        let mut range = [(0, 0); 2];
        for (axis, info) in device.get_absinfo().into_iter().flatten() {
            if let Some(range) = range.get_mut(usize::from(axis.0)) {
                *range = (info.minimum(), info.maximum());
            }
        }
        Some(Self {
            surface,
            range,
            fine_wheel: relative(RelativeAxisCode::REL_WHEEL_HI_RES),
            ..Self::default()
        })
    }

    /// Takes one event. What belongs together comes out at the end of a report: first where the pointer is, then what was pressed there.
    fn take(&mut self, kind: EventType, code: u16, value: i32, desktop: Size, acts: &mut Vec<Act>) {
        match kind {
            EventType::SYNCHRONIZATION => self.finish_report(desktop, acts),
            EventType::KEY => self.key(code, value, acts),
            EventType::RELATIVE => match RelativeAxisCode(code) {
                RelativeAxisCode::REL_X => add(&mut self.by[0], value),
                RelativeAxisCode::REL_Y => add(&mut self.by[1], value),
                RelativeAxisCode::REL_WHEEL_HI_RES => add(&mut self.wheel[0], value),
                RelativeAxisCode::REL_HWHEEL_HI_RES => add(&mut self.wheel[1], value),
                RelativeAxisCode::REL_WHEEL if !self.fine_wheel => {
                    add(&mut self.wheel[0], value.saturating_mul(NOTCH));
                }
                RelativeAxisCode::REL_HWHEEL if !self.fine_wheel => {
                    add(&mut self.wheel[1], value.saturating_mul(NOTCH));
                }
                _ => {}
            },
            EventType::ABSOLUTE if self.surface != Surface::None => {
                if let Some(at) = self.at.get_mut(usize::from(code)) {
                    *at = value;
                    self.moved = true;
                }
            }
            _ => {}
        }
    }

    fn key(&mut self, code: u16, value: i32, acts: &mut Vec<Act>) {
        let movement = match value {
            0 => KeyMovement::Released,
            1 => KeyMovement::Pressed,
            2 => KeyMovement::Repeated,
            _ => return,
        };
        let pressed = movement == KeyMovement::Pressed;
        match KeyCode::new(code) {
            KeyCode::KEY_POWER if pressed => acts.push(Act::PowerButton),
            // The machine's own keys are for no zone.
            KeyCode::KEY_POWER | KeyCode::KEY_SLEEP | KeyCode::KEY_SUSPEND => {}
            KeyCode::BTN_TOUCH => {
                self.touching = pressed;
                if self.surface == Surface::TouchScreen {
                    self.pressed.push((KeyCode::BTN_LEFT.code(), pressed));
                }
            }
            button if is_button(button.code()) && movement != KeyMovement::Repeated => {
                self.pressed.push((code, pressed));
            }
            key if is_key(key.code()) => {
                acts.push(Act::Input(InputEvent::Key { code, movement }));
            }
            _ => {}
        }
    }

    fn finish_report(&mut self, desktop: Size, acts: &mut Vec<Act>) {
        if std::mem::take(&mut self.moved) {
            match self.surface {
                Surface::None => {}
                Surface::Tablet | Surface::TouchScreen => {
                    let place = |at, range, pixels: u32| {
                        let (least, most): (i32, i32) = range;
                        let steps = (i64::from(most) - i64::from(least)).max(1);
                        let at = (i64::from(at) - i64::from(least)).clamp(0, steps);
                        let last = i64::from(pixels.saturating_sub(1));
                        i32::try_from((at * last + steps / 2) / steps).unwrap_or(0)
                    };
                    let [x, y] = self.at;
                    let [across, down] = self.range;
                    acts.push(Act::Input(InputEvent::PointerMoved(Point::new(
                        place(x, across, desktop.width),
                        place(y, down, desktop.height),
                    ))));
                }
                Surface::Pad => self.follow_finger(),
            }
        }
        if self.surface == Surface::Pad && !self.touching {
            self.was_at = None;
        }
        if let [x, y] = std::mem::take(&mut self.by)
            && (x, y) != (0, 0)
        {
            acts.push(Act::Input(InputEvent::PointerMovedBy { x, y }));
        }
        for (button, pressed) in self.pressed.drain(..) {
            acts.push(Act::Input(InputEvent::Button { button, pressed }));
        }
        if let [vertical, horizontal] = std::mem::take(&mut self.wheel)
            && (vertical, horizontal) != (0, 0)
        {
            acts.push(Act::Input(InputEvent::Wheel {
                vertical,
                horizontal,
            }));
        }
    }

    /// The pointer goes as a finger on a touchpad does, as far whatever the pad's resolution.
    fn follow_finger(&mut self) {
        let Some(was_at) = self.was_at.replace(self.at).filter(|_| self.touching) else {
            return;
        };
        // Both directions by the width: a pad's units are nearly square.
        let width = (i64::from(self.range[0].1) - i64::from(self.range[0].0)).max(1);
        for (((at, was), rest), by) in self
            .at
            .iter()
            .zip(was_at)
            .zip(&mut self.rest)
            .zip(&mut self.by)
        {
            *rest += (i64::from(*at) - i64::from(was)) * PAD_WIDTH;
            add(by, i32::try_from(*rest / width).unwrap_or(0));
            *rest %= width;
        }
    }
}

fn add(sum: &mut i32, value: i32) {
    *sum = sum.saturating_add(value);
}

/// A pointer's button, not a pen's or a game pad's.
fn is_button(code: u16) -> bool {
    (KeyCode::BTN_LEFT.code()..=KeyCode::BTN_TASK.code()).contains(&code)
}

/// A keyboard's key: the codes above and below those of buttons.
fn is_key(code: u16) -> bool {
    (1..0x100).contains(&code) || (0x160..0x220).contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESKTOP: Size = Size {
        width: 1280,
        height: 800,
    };
    const REPORT: (EventType, u16, i32) = (EventType::SYNCHRONIZATION, 0, 0);

    fn acts(reader: &mut Reader, events: &[(EventType, u16, i32)]) -> Vec<Act> {
        let mut acts = Vec::new();
        for (kind, code, value) in events {
            reader.take(*kind, *code, *value, DESKTOP, &mut acts);
        }
        acts
    }

    fn moved(x: i32, y: i32) -> Act {
        Act::Input(InputEvent::PointerMoved(Point::new(x, y)))
    }

    #[test]
    fn a_button_is_pressed_where_its_report_says() {
        let mut tablet = Reader {
            surface: Surface::Tablet,
            range: [(0, 32767); 2],
            ..Reader::default()
        };
        let button = |pressed| {
            Act::Input(InputEvent::Button {
                button: 0x110,
                pressed,
            })
        };
        let report = [
            (EventType::KEY, 0x110, 1),
            (EventType::ABSOLUTE, 0, 32767),
            (EventType::ABSOLUTE, 1, 0),
            REPORT,
            (EventType::KEY, 0x110, 0),
            REPORT,
            (EventType::ABSOLUTE, 0, -5),
            (EventType::ABSOLUTE, 1, i32::MAX),
            // No axis of a pointer.
            (EventType::ABSOLUTE, 40, 9),
            REPORT,
        ];
        let expected = [moved(1279, 0), button(true), button(false), moved(0, 799)];
        assert_eq!(acts(&mut tablet, &report), expected);
    }

    #[test]
    fn a_range_that_makes_no_sense_does_no_harm() {
        for range in [(0, 0), (5, -5), (i32::MIN, i32::MAX)] {
            let mut tablet = Reader {
                surface: Surface::Tablet,
                range: [range; 2],
                ..Reader::default()
            };
            for value in [i32::MIN, -1, 0, 1, i32::MAX] {
                let report = [(EventType::ABSOLUTE, 0, value), REPORT];
                let acts = acts(&mut tablet, &report);
                let [Act::Input(InputEvent::PointerMoved(at))] = acts[..] else {
                    panic!("{acts:?}");
                };
                assert!((0..1280).contains(&at.x) && (0..800).contains(&at.y));
            }
        }
    }

    #[test]
    fn steps_of_one_report_are_one_movement() {
        let mut mouse = Reader::default();
        let report = [
            (EventType::RELATIVE, 0, 3),
            (EventType::RELATIVE, 1, -2),
            (EventType::RELATIVE, 0, 4),
            (EventType::RELATIVE, 8, -1),
            (EventType::RELATIVE, 6, i32::MAX),
            REPORT,
            REPORT,
        ];
        let expected = [
            Act::Input(InputEvent::PointerMovedBy { x: 7, y: -2 }),
            Act::Input(InputEvent::Wheel {
                vertical: -120,
                horizontal: i32::MAX,
            }),
        ];
        assert_eq!(acts(&mut mouse, &report), expected);
    }

    #[test]
    fn a_wheel_is_not_counted_twice() {
        let mut mouse = Reader {
            fine_wheel: true,
            ..Reader::default()
        };
        let report = [
            (EventType::RELATIVE, 8, 1),
            (EventType::RELATIVE, 11, 60),
            REPORT,
        ];
        let half = InputEvent::Wheel {
            vertical: 60,
            horizontal: 0,
        };
        assert_eq!(acts(&mut mouse, &report), [Act::Input(half)]);
    }

    #[test]
    fn keys_are_told_apart_from_buttons_and_from_the_machines_own() {
        let mut keyboard = Reader::default();
        let key = |code, movement| Act::Input(InputEvent::Key { code, movement });
        let events = [
            (EventType::KEY, 30, 1),
            (EventType::KEY, 30, 2),
            (EventType::KEY, 30, 0),
            (EventType::KEY, 30, 7),
            (EventType::KEY, 116, 1),
            (EventType::KEY, 116, 0),
            (EventType::KEY, 142, 1),
            // A game pad's button, a pen's, and none at all.
            (EventType::KEY, 0x130, 1),
            (EventType::KEY, 0x140, 1),
            (EventType::KEY, 0xffff, 1),
            (EventType::KEY, 0, 1),
            REPORT,
        ];
        let expected = [
            key(30, KeyMovement::Pressed),
            key(30, KeyMovement::Repeated),
            key(30, KeyMovement::Released),
            Act::PowerButton,
        ];
        assert_eq!(acts(&mut keyboard, &events), expected);
    }

    #[test]
    fn a_finger_that_is_put_down_elsewhere_moves_nothing() {
        let mut pad = Reader {
            surface: Surface::Pad,
            range: [(0, 2400), (0, 1600)],
            ..Reader::default()
        };
        let to = |x, y| [(EventType::ABSOLUTE, 0, x), (EventType::ABSOLUTE, 1, y)];
        let down = (EventType::KEY, KeyCode::BTN_TOUCH.code(), 1);
        let up = (EventType::KEY, KeyCode::BTN_TOUCH.code(), 0);
        let mut events = vec![down];
        for (x, y) in [(100, 100), (101, 100), (104, 90)] {
            events.extend(to(x, y));
            events.push(REPORT);
        }
        events.extend([up, REPORT, down]);
        events.extend(to(2000, 1000));
        events.push(REPORT);
        let by = |x, y| Act::Input(InputEvent::PointerMovedBy { x, y });
        // One unit is half a pixel; the half is kept for the next.
        assert_eq!(acts(&mut pad, &events), [by(2, -5)]);
    }

    #[test]
    fn a_touch_is_a_click() {
        let mut screen = Reader {
            surface: Surface::TouchScreen,
            range: [(0, 1279), (0, 799)],
            ..Reader::default()
        };
        let touch = [
            (EventType::KEY, KeyCode::BTN_TOUCH.code(), 1),
            (EventType::ABSOLUTE, 0, 7),
            (EventType::ABSOLUTE, 1, 9),
            REPORT,
        ];
        let press = InputEvent::Button {
            button: 0x110,
            pressed: true,
        };
        let expected = [moved(7, 9), Act::Input(press)];
        assert_eq!(acts(&mut screen, &touch), expected);
    }
}
