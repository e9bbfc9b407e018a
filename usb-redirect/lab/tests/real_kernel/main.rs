//! `usb-redirect` against Debian's stock amd64 kernel under QEMU, with emulation alone: it runs where there is no `/dev/kvm`.
//!
//! The kernel package is fetched by apt into the cache once, never installed. Each machine lives at most four minutes.

mod machine;
mod peers;
mod remote;

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use machine::Machine;
use usb_redirect::device::{DescriptionFile, Device, Simulated};
use usb_redirect::endpoint::{self, Control, End};
use usb_redirect::filter::Grant;
use usb_redirect::setup::EndpointAddress;
use usb_redirect::usbredir::Host;

const VHCI: &[&str] = &["evdev", "usbhid", "hid-generic", "vhci-hcd"];
/// The letters that machines are typed at with.
const LETTERS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

#[test]
fn a_simulated_device_types_through_the_stock_vhci() {
    let mut machine = Machine::start("simulated", VHCI, &[]);
    machine.finish();
    for line in [
        "200 keys went down and up in order",
        "200 motions in order",
        "unlinked and opened again five times",
        "the light came on",
        "ms after the link was cut",
        "unplugged in flight",
    ] {
        machine.expect_seen(line);
    }
}

#[test]
fn a_device_of_the_kernels_own_stack_is_taken_and_redirected() {
    let modules = [VHCI, &["dummy_hcd", "usb_f_hid", "libcomposite"]].concat();
    let mut machine = Machine::start("gadget", &modules, &[]);
    machine.finish();
    for line in [
        "listed Bulkhead Gadget at",
        "hidraw waited a second and used",
        "19 reports came by hidraw",
        "took Bulkhead Gadget by libusb",
        "16 in flight",
        "libusb waited a second and used",
        "100 keys went down and up in order",
        "500 motions in order",
        "the light reached the gadget",
        "unplugged",
    ] {
        machine.expect_seen(line);
    }
}

#[test]
fn the_jailed_program_holds_a_device_and_gives_it_back() {
    let modules = [VHCI, &["dummy_hcd", "usb_f_hid", "libcomposite"]].concat();
    let mut machine = Machine::start("jailed", &modules, &[]);
    machine.finish();
    for line in [
        "100 keys went through the jailed program",
        "detached, and the kernel has its keyboard back",
        "50 keys came by hidraw, and stayed with the kernel",
    ] {
        machine.expect_seen(line);
    }
}

#[test]
fn a_stock_guest_uses_our_device_through_qemus_usbredir() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redir");
    let listener = UnixListener::bind(&path).unwrap();
    let chardev = format!("socket,id=redir,path={}", path.display());
    let arguments = [
        "-device",
        "qemu-xhci,id=xhci",
        "-chardev",
        &chardev,
        "-device",
        "usb-redir,chardev=redir,bus=xhci.0",
    ];
    let modules = ["evdev", "usbhid", "hid-generic", "xhci-pci"];
    let mut machine = Machine::start("stock", &modules, &arguments);

    let text = include_str!("../../../descriptors/composite.txt");
    let description = Arc::new(DescriptionFile::parse(text).unwrap().describe().unwrap());
    let device = Simulated::new(description.clone());
    let control = Control::new().unwrap();
    let (socket, _) = listener.accept().unwrap();
    std::thread::scope(|scope| {
        let front = Box::new(Host::new(description));
        let session = scope.spawn(|| {
            endpoint::serve(
                &device,
                front,
                &socket,
                &Grant::default(),
                &control,
                &|_| {},
            )
        });
        // Whatever goes wrong below, the session must end for the scope to end.
        let guard = Detach(&control);
        machine.wait_for("LAB ready");
        let (keys, mouse) = (EndpointAddress(0x81), EndpointAddress(0x82));
        let send = |endpoint, report: &[u8]| {
            assert!(device.send(endpoint, report));
            // As fast as a person's quickest burst, far slower than the guest polls.
            std::thread::sleep(Duration::from_millis(25));
        };
        for _ in 0..10 {
            for usage in 4..14 {
                send(keys, &[0, 0, usage, 0, 0, 0, 0, 0]);
                send(keys, &[0; 8]);
            }
        }
        for step in 0..100u8 {
            send(mouse, &[0, 1 + step % 5, 0, 0]);
        }
        machine.wait_for("LAB light");
        let lit = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            device.report(0, 2, 0).as_deref() == Some(&[2])
        });
        assert!(lit, "caps lock's light did not reach the device");
        assert_eq!(device.counts(keys).1, 0, "no key was lost in the device");
        device.unplug();
        machine.finish();
        assert_eq!(session.join().unwrap().unwrap(), End::Unplugged);
        drop(guard);
    });
    assert_eq!(device.description().device.vendor, 0x1209);
}

#[test]
fn the_agents_tests_pass_on_a_server_with_a_virtual_controller() {
    let mut machine = machine::Parts::new("agent-tests", VHCI)
        .with_program("/usr/sbin/ip")
        .with_tests("agent-tests", "usb-redirect-host", "server", "usb-agent")
        .start(&[]);
    machine.finish();
    machine.expect_seen("device 1209:0001 is attached to port");
}

/// Ends a session when a test fails.
struct Detach<'a>(&'a Control);

impl Drop for Detach<'_> {
    fn drop(&mut self) {
        self.0.detach();
    }
}
