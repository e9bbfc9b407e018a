//! What others wrote, at the other end: Debian's `usbip`, `usbipd` and `usbredirect`.

use std::time::Duration;

use crate::machine::Parts;
use crate::{LETTERS, VHCI};

#[test]
fn stock_usbip_and_usbredirect_are_peers() {
    let modules = [VHCI, &["usbip-host", "xhci-pci"]].concat();
    let mut machine = Parts::new("peers", &modules)
        .with_program("/usr/sbin/ip")
        .with_program("/usr/sbin/usbip")
        .with_program("/usr/sbin/usbipd")
        .with_program("/usr/bin/usbredirect")
        .start(&[
            "-device",
            "qemu-xhci,id=xhci",
            "-device",
            "usb-kbd,bus=xhci.0",
        ]);
    machine.wait_for("LAB stock usbip attached, used and detached our device twice");
    for server in ["usbipd", "usbredirect"] {
        machine.wait_for(&format!("LAB type for {server}"));
        let mut person = machine.qmp();
        for letter in LETTERS {
            person.chord(&[letter]);
            std::thread::sleep(Duration::from_millis(50));
        }
        machine.wait_for(&format!(
            "LAB stock {server} gave us the keyboard, and every key came"
        ));
    }
    machine.finish();
}
