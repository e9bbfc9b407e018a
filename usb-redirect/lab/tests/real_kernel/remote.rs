//! The whole way to a desktop on a server: QEMU's own devices, the kernel that has them, `bulkhead usb attach --server` with a policy, TLS 1.3 over a
//! network, `usb-agent listen`, and another stock kernel.

use std::net::TcpListener;
use std::time::Duration;

use lab::{Act, Qmp};
use serde_json::json;
use usb_redirect_tls::Key;

use crate::machine::Parts;
use crate::{LETTERS, VHCI};

const POLICY: &str = "[zone.work]\ncolour = \"#1565c0\"\nimage = \"none\"\n\
    [[flow]]\nname = \"devices\"\nkind = \"usb\"\nto = \"work\"\nverdict = \"allow\"\nwhen = { usb = \"class=hid\" }\n";
const DEVICES: [&str; 4] = ["usb-kbd", "usb-mouse", "usb-tablet", "usb-wacom-tablet"];
/// Longer than any of the devices takes to be polled: each act is a report of its own.
const PAUSE: Duration = Duration::from_millis(20);

#[test]
fn qemus_devices_reach_the_kernel_of_a_desktop_on_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let path = folder.path().join(name);
        let pin = Key::open(&path).unwrap().pin();
        (pin.to_string(), std::fs::read(&path).unwrap())
    };
    let (endpoint_pin, endpoint_key) = key("endpoint");
    let (agent_pin, agent_key) = key("agent");
    // Free a moment ago; QEMU fails when it is not free any more.
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();

    let forward = format!("user,id=net,hostfwd=tcp:127.0.0.1:{port}-:3241");
    let mut server = Parts::new("server", &[VHCI, &["wacom", "e1000"]].concat())
        .with_program("/usr/sbin/ip")
        .with_product("usb-agent")
        .with_file("agent.key", &agent_key)
        .with_word("pin", &endpoint_pin)
        .start(&["-netdev", &forward, "-device", "e1000,netdev=net"]);

    let devices = DEVICES.map(|device| format!("{device},id={device},bus=xhci.0"));
    let mut arguments = vec!["-netdev", "user,id=net", "-device", "e1000,netdev=net"];
    arguments.extend(["-device", "qemu-xhci,id=xhci"]);
    for device in &devices {
        arguments.extend(["-device", device]);
    }
    let modules = ["evdev", "usbhid", "hid-generic", "xhci-pci", "e1000"];
    let mut source = Parts::new("source", &modules)
        .with_program("/usr/sbin/ip")
        .with_product("bulkhead")
        .with_product("usb-redirect")
        .with_file("state/usb.key", &endpoint_key)
        .with_file("policy.toml", POLICY.as_bytes())
        .with_word("server", &format!("10.0.2.2:{port}"))
        .with_word("pin", &agent_pin)
        .with_word("devices", &DEVICES.len().to_string())
        .start(&arguments);

    let mut person = source.qmp();
    server.wait_for("LAB please type");
    for _ in 0..5 {
        for letter in LETTERS {
            for down in [true, false] {
                person.act(&[Act::Key(letter, down)]);
                std::thread::sleep(PAUSE);
            }
        }
    }
    for ask in ["LAB please move", "LAB please move again"] {
        server.wait_for(ask);
        use_pointer(&mut person, "HID Mouse", |_| Act::Move(3, -2));
    }
    for (ask, name) in [
        ("LAB please point", "HID Tablet"),
        ("LAB please draw", "PenPartner"),
    ] {
        server.wait_for(ask);
        use_pointer(&mut person, name, |motion| {
            Act::Point(motion * 300, motion * 200)
        });
    }
    server.wait_for("LAB please hold");
    person.act(&[Act::Key("shift", true)]);
    person.act(&[Act::Key("a", true)]);
    server.wait_for("LAB please pull");
    for device in DEVICES {
        person.execute("device_del", &json!({ "id": device }));
    }
    server.finish();
    source.finish();
}

/// A hundred motions of one pointer, its first button changing after every 25.
fn use_pointer(person: &mut Qmp, name: &str, motion: impl Fn(u32) -> Act<'static>) {
    let mice = person.execute("query-mice", &json!({}));
    let mice = mice.as_array().expect("a list");
    let mouse = mice
        .iter()
        .find(|mouse| {
            mouse["name"]
                .as_str()
                .is_some_and(|found| found.contains(name))
        })
        .unwrap_or_else(|| panic!("no {name} among {mice:?}"));
    let line = format!("mouse_set {}", mouse["index"]);
    person.execute("human-monitor-command", &json!({ "command-line": line }));
    for number in 1..=100 {
        person.act(&[motion(number)]);
        std::thread::sleep(PAUSE);
        if number % 25 == 0 {
            person.act(&[Act::Button("left", number / 25 % 2 == 1)]);
            std::thread::sleep(PAUSE);
        }
    }
}
