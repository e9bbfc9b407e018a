//! Pictures of the pages, compared with committed ones.
//!
//! `BLESS=1 cargo test -p trusted-pages --test golden` writes them anew. Glyphs are rasterised with floating point in whatever
//! vector instructions the processor has, so a channel may differ by [`LEEWAY`]; nothing else may.

#[allow(dead_code, reason = "other tests use the rest")]
mod desk;
#[path = "../../tests/pictures/mod.rs"]
mod pictures;

use std::path::Path;

use compositor::*;
use desk::{Desk, label};
use trusted_pages::{AuditView, PolicyView, UsbView};

const LEEWAY: u8 = 2;

fn check(mut desk: Desk, name: &str) {
    // The pointer is out of the way.
    desk.point(3, desk.size.height.try_into().unwrap());
    let pixels = desk.picture();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    pictures::check(&folder, name, desk.size, &pixels, LEEWAY);
}

fn dark() -> Desk {
    Desk::new(1280, 800, 1.0, Settings::default())
}

fn light() -> Desk {
    let settings = Settings {
        theme: Theme::Light,
        language: Language::German,
        ..Settings::default()
    };
    Desk::new(1280, 800, 1.0, settings)
}

fn contrast() -> Desk {
    let settings = Settings {
        theme: Theme::HighContrast,
        large_text: true,
        ..Settings::default()
    };
    Desk::new(1280, 800, 1.0, settings)
}

fn double() -> Desk {
    Desk::new(2000, 1400, 2.0, Settings::default())
}

fn shown(mut desk: Desk, page: &str, presses: &[&str], name: &str) {
    desk.open(page);
    for control in presses {
        desk.press(control);
    }
    check(desk, name);
}

#[test]
fn zones() {
    shown(dark(), "Zones", &["Stop: corp"], "zones-dark");
    shown(light(), "Zonen", &[], "zones-light-german");
    shown(contrast(), "Zones", &[], "zones-contrast-large");
    shown(double(), "Zones", &[], "zones-200");
}

#[test]
fn policy() {
    let chosen = "clipboard: open \u{2192} corp: you are asked, under conditions";
    let gewaehlt = "Zwischenablage: open \u{2192} corp: Sie werden gefragt, unter Bedingungen";
    shown(dark(), "Policy", &[chosen], "policy-dark");
    shown(light(), "Regeln", &[gewaehlt], "policy-light-german");
    shown(contrast(), "Policy", &[chosen], "policy-contrast-large");
    shown(double(), "Policy", &[], "policy-200");
    let rule =
        "you are asked: text-to-corp (line 48): max-bytes 64 KiB; hours 08:00-18:00; content text";
    shown(dark(), "Policy", &["Rules", rule], "policy-rules");
}

#[test]
fn audit() {
    let chosen = "2026-11-22 09:40:03 open killed it broke the zone link's protocol: a frame of 2^32 rectangles";
    shown(dark(), "Log", &[chosen], "audit-dark");
    shown(light(), "Protokoll", &[], "audit-light-german");
    shown(contrast(), "Log", &[], "audit-contrast-large");
    shown(double(), "Log", &[], "audit-200");
}

#[test]
fn usb() {
    shown(dark(), "USB", &[], "usb-dark");
    shown(light(), "USB", &[], "usb-light-german");
    shown(contrast(), "USB", &[], "usb-contrast-large");
    shown(double(), "USB", &[], "usb-200");
}

#[test]
fn settings() {
    shown(dark(), "Settings", &[], "settings-dark");
    shown(light(), "Einstellungen", &[], "settings-light-german");
    shown(contrast(), "Settings", &[], "settings-contrast-large");
    shown(double(), "Settings", &["Colours: Light"], "settings-200");
    // A fractional scale, and a window so narrow that the rail has marks alone.
    shown(
        Desk::new(760, 620, 1.25, Settings::default()),
        "Settings",
        &[],
        "settings-narrow-125",
    );
}

#[test]
fn nothing_to_show() {
    let mut desk = dark();
    desk.usb = UsbView::default();
    shown(desk, "USB", &[], "usb-empty");
    let mut desk = dark();
    desk.audit = AuditView {
        trouble: label("Records cannot be written at the moment."),
        ..AuditView::default()
    };
    shown(desk, "Log", &[], "audit-empty");
    let mut desk = dark();
    desk.policy = PolicyView::default();
    shown(desk, "Policy", &[], "policy-empty");
}
