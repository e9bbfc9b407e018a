//! The operations that bytes stand for: hostile numbers are as likely as sensible ones.

use crate::*;

/// Zones that take part.
const ZONES: u32 = 3;

/// One act of a zone or of the person.
#[derive(Clone, Debug)]
pub(super) enum Op {
    AddZone {
        zone: ZoneId,
        placed: Option<Placement>,
    },
    RemoveZone(ZoneId),
    State(ZoneId, u8),
    Attach {
        zone: ZoneId,
        generation: u32,
        size: Size,
    },
    /// The zone changes these pixels and says so.
    Draw {
        zone: ZoneId,
        rect: Rect,
        colour: u32,
    },
    /// The zone says anything at all about pixels that did not change.
    Lie {
        zone: ZoneId,
        generation: u32,
        rects: Vec<Rect>,
    },
    Title(ZoneId, Vec<u8>),
    Cursor {
        zone: ZoneId,
        width: u32,
        height: u32,
        hot: (u32, u32),
        pixel: u32,
    },
    Weakened(ZoneId, bool),
    Input(InputEvent),
    Output {
        second: bool,
        remove: bool,
        scale: u32,
        width: u32,
    },
    Settings {
        theme: Theme,
        large_text: bool,
    },
    ClientRect(ZoneId, Rect),
    Ask {
        from: ZoneId,
        to: Option<ZoneId>,
        detail: Vec<u8>,
    },
    /// The endpoint tells the pages something else: `seed` says what.
    Views([u8; 4]),
    Withdraw(u64),
    Lock,
    Unlock {
        right: bool,
    },
    Wait(u64),
    Render(usize),
}

impl Op {
    /// The operation that eight bytes stand for.
    pub(super) fn decode([kind, a, b, c, d, e, f, g]: [u8; 8]) -> Op {
        let zone = ZoneId(u32::from(a) % ZONES);
        let place = |value: u8| i32::from(value) * 2 - 60;
        let rect = Rect::new(place(b), place(c), u32::from(d) * 2, u32::from(e) * 2);
        match kind % 36 {
            0 => Op::AddZone { zone, placed: None },
            1 => Op::AddZone {
                zone,
                placed: Some(Placement {
                    floating: extreme_rect([b, c, d, e]),
                    arrangement: if f & 1 == 0 {
                        Arrangement::Floating
                    } else {
                        Arrangement::Maximised
                    },
                    minimised: g & 3 == 0,
                    workspace: usize::from(g >> 6),
                }),
            },
            2 => Op::RemoveZone(zone),
            3 => Op::State(zone, b),
            4 | 5 => Op::Attach {
                zone,
                generation: u32::from(b),
                size: Size {
                    width: u32::from(c) * if f == 255 { 1 << 24 } else { 2 },
                    height: u32::from(d) * 2,
                },
            },
            6..=9 => Op::Draw {
                zone,
                rect,
                colour: u32::from_le_bytes([e, f, g, d]),
            },
            10 => Op::Lie {
                zone,
                generation: u32::from(b),
                rects: (0..c)
                    .map(|step| extreme_rect([d.wrapping_add(step), e, f.wrapping_mul(step), g]))
                    .collect(),
            },
            11 => Op::Title(zone, vec![b, c, d, e, f, g]),
            12 => Op::Cursor {
                zone,
                width: u32::from(b) % 70,
                height: u32::from(c) % 70,
                hot: (u32::from(d) << (e % 32), u32::from(e)),
                pixel: u32::from_le_bytes([d, e, f, g]),
            },
            13 => Op::Weakened(zone, b & 1 == 0),
            14 => Op::Output {
                second: a & 1 == 0,
                remove: b % 5 == 0,
                scale: 120 + u32::from(c),
                width: u32::from(d),
            },
            15 => Op::Settings {
                theme: [Theme::Dark, Theme::Light, Theme::HighContrast][usize::from(a % 3)],
                large_text: b & 1 == 0,
            },
            16 => Op::ClientRect(zone, extreme_rect([b, c, d, e])),
            17 => Op::Wait(u64::from(a) * 16),
            18..=20 => {
                let movement = [
                    KeyMovement::Pressed,
                    KeyMovement::Released,
                    KeyMovement::Repeated,
                ][usize::from(b % 3)];
                Op::Input(InputEvent::Key {
                    code: key(a),
                    movement,
                })
            }
            21..=23 => Op::Input(InputEvent::PointerMoved(Point::new(
                i32::from(a) * 3 - 60,
                i32::from(b),
            ))),
            24 => Op::Input(InputEvent::PointerMovedBy {
                x: i32::from(a).wrapping_shl(u32::from(c)).wrapping_sub(100),
                y: i32::from(b).wrapping_shl(u32::from(d)).wrapping_sub(100),
            }),
            25..=27 => Op::Input(InputEvent::Button {
                button: 0x10f + u16::from(a % 4),
                pressed: b & 1 == 0,
            }),
            28 => Op::Input(InputEvent::Wheel {
                vertical: i32::from(a).wrapping_shl(u32::from(c)),
                horizontal: i32::from(b) - 128,
            }),
            29 if a & 1 == 0 => Op::Input(InputEvent::KeyboardLost),
            29 => Op::Input(InputEvent::PointerLeft),
            30 => Op::Ask {
                from: zone,
                to: (b & 1 == 0).then_some(ZoneId(u32::from(c) % ZONES)),
                detail: vec![d, e, f, g],
            },
            31 if a & 7 == 0 => Op::Lock,
            31 if a & 3 == 0 => Op::Unlock { right: b & 1 == 0 },
            31 => Op::Withdraw(u64::from(b) % 4),
            32 => Op::Views([a, b, c, d]),
            _ => Op::Render(usize::from(a & 1)),
        }
    }
}

/// Keys that matter, and some that do not.
fn key(byte: u8) -> u16 {
    const KEYS: [u16; 31] = [
        17, 104, 109, 109, 125, 125, 125, 126, 1, 1, 28, 28, 15, 41, 2, 3, 103, 105, 106, 108, 33,
        50, 57, 42, 54, 29, 56, 30, 31, 116, 600,
    ];
    KEYS[usize::from(byte) % KEYS.len()]
}

pub(super) fn extreme_rect([a, b, c, d]: [u8; 4]) -> Rect {
    let coordinate = |byte: u8| match byte {
        0 => i32::MIN,
        1 => i32::MAX,
        2 => -1,
        other => i32::from(other) * 2 - 100,
    };
    let side = |byte: u8| {
        if byte == 255 {
            u32::MAX
        } else {
            u32::from(byte) * 2
        }
    };
    Rect::new(coordinate(a), coordinate(b), side(c), side(d))
}
