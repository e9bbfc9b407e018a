//! A USB device that the kernel itself plays: configfs, the HID function, and `dummy_hcd`, which joins a device controller and a host controller.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount};

const BASE: &str = "/sys/kernel/config/usb_gadget/lab";

/// The gadget; its report files in the order of its functions.
pub struct Gadget {
    reports: Vec<File>,
}

/// One HID function: its report descriptor, report length, and boot protocol.
pub struct Function<'a> {
    pub descriptor: &'a [u8],
    pub length: usize,
    pub protocol: u8,
}

impl Gadget {
    /// Makes a composite HID gadget and plugs it in.
    pub fn plug(functions: &[Function<'_>]) -> Result<Self> {
        mount(
            "none",
            "/sys/kernel/config",
            "configfs",
            MountFlags::empty(),
            None,
        )
        .context("mount configfs")?;
        let write = |path: &str, text: &[u8]| {
            fs::write(format!("{BASE}/{path}"), text).with_context(|| path.to_owned())
        };
        let folder = |path: &str| {
            fs::create_dir_all(format!("{BASE}/{path}")).with_context(|| path.to_owned())
        };
        folder("strings/0x409")?;
        write("idVendor", b"0x1209")?;
        write("idProduct", b"0x0002")?;
        write("bcdDevice", b"0x0100")?;
        write("strings/0x409/manufacturer", b"Bulkhead")?;
        write("strings/0x409/product", b"Gadget")?;
        write("strings/0x409/serialnumber", b"0002")?;
        folder("configs/c.1")?;
        for (number, function) in functions.iter().enumerate() {
            let name = format!("functions/hid.{number}");
            folder(&name)?;
            write(
                &format!("{name}/protocol"),
                function.protocol.to_string().as_bytes(),
            )?;
            write(
                &format!("{name}/subclass"),
                if function.protocol == 0 { b"0" } else { b"1" },
            )?;
            write(
                &format!("{name}/report_length"),
                function.length.to_string().as_bytes(),
            )?;
            write(&format!("{name}/report_desc"), function.descriptor)?;
            std::os::unix::fs::symlink(
                format!("{BASE}/{name}"),
                format!("{BASE}/configs/c.1/hid.{number}"),
            )?;
        }
        write("UDC", b"dummy_udc.0")?;
        let mut reports = Vec::new();
        for number in 0..functions.len() {
            let path = format!("/dev/hidg{number}");
            let open = || File::options().read(true).write(true).open(&path);
            reports
                .push(wait(Duration::from_secs(20), || open().ok()).with_context(|| path.clone())?);
        }
        Ok(Self { reports })
    }

    /// Sends a report; waits until the host has polled the one before.
    pub fn send(&mut self, function: usize, report: &[u8]) -> Result<()> {
        let file = self.reports.get_mut(function).context("no such function")?;
        file.write_all(report)
            .context("write a report to the gadget")
    }

    /// A second handle to a function's report file.
    pub fn file(&self, function: usize) -> Result<File> {
        Ok(self
            .reports
            .get(function)
            .context("no such function")?
            .try_clone()?)
    }

    /// Pulls the plug.
    pub fn unplug(&self) -> Result<()> {
        fs::write(format!("{BASE}/UDC"), "\n").context("unbind the gadget")
    }
}

/// The device file of a USB device, once it is there.
pub fn usb_node(vendor: &str, product: &str) -> Result<PathBuf> {
    wait(Duration::from_secs(30), || {
        fs::read_dir("/sys/bus/usb/devices")
            .ok()?
            .flatten()
            .find_map(|entry| {
                let read = |file: &str| {
                    fs::read_to_string(entry.path().join(file)).map(|text| text.trim().to_owned())
                };
                if read("idVendor").ok()? != vendor || read("idProduct").ok()? != product {
                    return None;
                }
                let number = |file: &str| read(file).ok()?.parse::<u32>().ok();
                let path = format!(
                    "/dev/bus/usb/{:03}/{:03}",
                    number("busnum")?,
                    number("devnum")?
                );
                fs::exists(&path).ok()?.then(|| PathBuf::from(path))
            })
    })
    .with_context(|| format!("USB device {vendor}:{product}"))
}

/// Tries until it works, or `patience` is over.
pub fn wait<T>(patience: Duration, mut attempt: impl FnMut() -> Option<T>) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return Ok(found);
        }
        if begin.elapsed() > patience {
            bail!("not there after {patience:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
