//! Views of any size, with texts as hostile as their writers can make them.

use crate::*;

fn hostile(seed: u8, length: u8) -> Label {
    let characters = [
        'a', '\u{202e}', ' ', '\u{1b}', 'W', '\u{301}', '\n', '\u{2713}',
    ];
    let text: String = (0..length)
        .map(|at| characters[usize::from(at.wrapping_mul(seed | 1)) % characters.len()])
        .collect();
    Label::new(&text, 160)
}

fn verdict(seed: u8) -> FlowVerdict {
    [FlowVerdict::Deny, FlowVerdict::Ask, FlowVerdict::Allow][usize::from(seed % 3)]
}

fn health(seed: u8) -> Health {
    [Health::Absent, Health::Good, Health::Warned][usize::from(seed % 3)]
}

pub(super) fn policy([a, b, c, d]: [u8; 4]) -> PolicyView {
    let (parties, kinds) = (a % 70, b % 12);
    let mut cells = std::collections::BTreeMap::new();
    for from in 0..u16::from(parties) {
        for to in (0..u16::from(parties)).filter(|to| *to != from) {
            let cell = CellView {
                best: verdict(c.wrapping_add(d)),
                conditional: d & 1 == 0,
                redirects: d & 2 == 0,
                // Some name rules that there are not.
                rules: (0..u16::from(c % 9)).collect(),
            };
            cells.insert((u16::from(d) % 13, from, to), cell);
        }
    }
    PolicyView {
        facts: (0..c % 7).map(|at| hostile(at, d)).collect(),
        parties: (0..parties)
            .map(|at| PartyView {
                name: Label::new(&format!("p{at}"), 20),
                zone: (!at.is_multiple_of(5)).then_some(ZoneId(u32::from(at % 4))),
            })
            .collect(),
        kinds: (0..kinds)
            .map(|at| Label::new(&format!("kind {at}"), 20))
            .collect(),
        rules: (0..c % 6)
            .map(|at| RuleView {
                verdict: verdict(at),
                words: hostile(at, d),
            })
            .collect(),
        cells,
    }
}

pub(super) fn audit([a, b, c, d]: [u8; 4]) -> AuditView {
    let record = |at: u16| RecordView {
        time: hostile(a, b),
        what: hostile(b, c),
        zone: hostile(c, d),
        text: hostile(d, a),
        alarming: at.is_multiple_of(2),
    };
    AuditView {
        health: hostile(a, d),
        matching: if a & 1 == 0 { u64::MAX } else { u64::from(b) },
        skipped: if b & 1 == 0 {
            u64::MAX - 300
        } else {
            u64::from(c)
        },
        records: (0..u16::from(a) * 2).map(record).collect(),
    }
}

pub(super) fn usb([a, b, c, d]: [u8; 4]) -> UsbView {
    let device = |at: u8| UsbDeviceView {
        id: UsbDeviceId(u32::from(at)),
        name: hostile(a, b),
        facts: hostile(b, c),
        held_by: at.is_multiple_of(3).then_some(ZoneId(u32::from(d % 5))),
        rule: hostile(c, d),
        may_go_to: (0..d % 9).map(|zone| ZoneId(u32::from(zone))).collect(),
    };
    UsbView {
        remark: c.is_multiple_of(5).then(|| hostile(d, a)),
        devices: (0..a % 90).map(device).collect(),
    }
}

pub(super) fn signs([a, b, c, d]: [u8; 4]) -> PanelSigns {
    PanelSigns {
        clock: (a & 1 == 0).then(|| hostile(a, b % 9)),
        layout: b & 1 == 0,
        policy: health(a),
        audit: health(b),
        usb: health(c),
        network: health(d),
    }
}
