//! The agent of a desktop on a server, as a program: it takes a device from the one endpoint that it knows, over TLS, as far as its kernel.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use usb_redirect::device::{DescriptionFile, Simulated};
use usb_redirect::endpoint::{self, Control};
use usb_redirect::filter::Grant;
use usb_redirect::stream::StreamFront;
use usb_redirect_tls::{Key, Link, Pin};

/// How a kernel is given a device. The lab runs these tests on one that takes it.
const CONTROLLER: &str = "/sys/devices/platform/vhci_hcd.0/attach";

struct Agent {
    child: Child,
    address: String,
    pin: Pin,
    _place: tempfile::TempDir,
}

impl Agent {
    fn listen(endpoint: Pin) -> Self {
        let place = tempfile::tempdir().unwrap();
        let key = place.path().join("agent.key");
        let program = || Command::new(env!("CARGO_BIN_EXE_usb-agent"));
        let told = program()
            .arg("key")
            .arg("--key")
            .arg(&key)
            .output()
            .unwrap();
        let pin = String::from_utf8(told.stdout).unwrap();
        let mut child = program()
            .args(["listen", "127.0.0.1:0", "--pin", &endpoint.to_string()])
            .arg("--key")
            .arg(&key)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            address: line.trim().rsplit(' ').next().unwrap().to_owned(),
            pin: pin.trim().parse().unwrap(),
            child,
            _place: place,
        }
    }

    /// Ends it; what it said after its address.
    fn said(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut said = String::new();
        let mut errors = self.child.stderr.take().unwrap();
        errors.read_to_string(&mut said).unwrap();
        let mut output = self.child.stdout.take().unwrap();
        output.read_to_string(&mut said).unwrap();
        said
    }
}

#[test]
fn a_known_endpoint_reaches_the_servers_kernel() {
    let key = Key::generate().unwrap();
    let agent = Agent::listen(key.pin());
    let text = include_str!("../../descriptors/composite.txt");
    let description = Arc::new(DescriptionFile::parse(text).unwrap().describe().unwrap());
    let device = Simulated::new(description.clone());
    let tcp = TcpStream::connect(&agent.address).unwrap();
    let link = Link::connect(tcp, &key, agent.pin).unwrap();
    let (ours, plain) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        let carrier = scope.spawn(|| link.carry(plain));
        // The agent has the whole description and turns to its kernel. Where that has no virtual controller, or not for this user, the agent
        // closes the connection in good order; where it has one, it takes the device, which is then taken back.
        let front = Box::new(StreamFront::new(description));
        let control = Control::new().unwrap();
        let (ended, end) = channel::<()>();
        let detaching = control.clone();
        scope.spawn(move || {
            if end.recv_timeout(Duration::from_secs(5)) == Err(RecvTimeoutError::Timeout) {
                detaching.detach();
            }
        });
        let served = endpoint::serve(&device, front, &ours, &Grant::default(), &control, &|_| {});
        drop(ended);
        served.unwrap();
        drop(ours);
        carrier.join().unwrap().unwrap();
    });
    let said = agent.said();
    let controller = File::options().write(true).open(CONTROLLER);
    let wanted = match controller {
        Ok(_) => "is attached to port",
        Err(_) => "is the kernel module vhci-hcd loaded",
    };
    assert!(said.contains(wanted), "{said}");
    println!("the agent said: {said}");
}

#[test]
fn a_stranger_gets_nothing_and_the_agent_goes_on() {
    let known = Key::generate().unwrap();
    let stranger = Key::generate().unwrap();
    let agent = Agent::listen(known.pin());
    let connect = |key| {
        let tcp = TcpStream::connect(&agent.address).unwrap();
        Link::connect(tcp, key, agent.pin)
    };
    // In TLS 1.3 the client may learn of it only when it reads.
    if let Ok(link) = connect(&stranger) {
        let (_held, plain) = UnixStream::pair().unwrap();
        link.carry(plain).unwrap_err();
    }
    assert!(connect(&known).is_ok());
    let said = agent.said();
    assert!(said.contains(&stranger.pin().to_string()), "{said}");
}
