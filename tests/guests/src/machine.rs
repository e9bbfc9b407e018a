//! A machine in this process, and what its guest says.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use guest_image::FileName;
use zone_machine::machine::{Builder, Machine, Observer};
use zone_machine::sbi::{Console, Ending};
use zone_translate::CodeCache;
use zone_virtio::block::{Block, FileVolume};

/// The SBI's console is heard before any driver is loaded, and every message of the kernel goes there.
pub(crate) const COMMAND_LINE: &str =
    "earlycon=sbi keep_bootcon printk.devkmsg=on loglevel=8 panic=-1 cryptomgr.notests";

/// What a guest is made of.
#[derive(Debug, Clone, Copy)]
pub struct Guest<'a> {
    /// 1 to 8.
    pub harts: u32,
    /// RAM.
    pub memory_mib: u32,
    /// Added to the kernel's arguments.
    pub arguments: &'a str,
    /// The first file system.
    pub initramfs: &'a Path,
    /// Shown to the guest as `vda`, read-only.
    pub volume: Option<&'a Path>,
    /// A debugger's end of a stream.
    pub debugger: Option<&'a File>,
    /// What is done to the machine while the guest runs, on a thread of its own; it is told when the guest has ended.
    pub meanwhile: Option<fn(&Machine, &AtomicBool)>,
    /// How long all of it may take.
    pub limit: Duration,
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    /// The kernel's log without times, a message each.
    pub lines: Vec<String>,
    /// How the guest ended; `None` if its time was up.
    pub ending: Option<Ending>,
}

enum Heard {
    Text(Vec<u8>),
    Ended(Ending),
}

struct Listener(Mutex<mpsc::Sender<Heard>>);

impl Listener {
    fn tell(&self, heard: Heard) {
        // Nobody listens any more once the time is up.
        let _ = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(heard);
    }
}

impl Console for Listener {
    fn write(&self, bytes: &[u8]) {
        self.tell(Heard::Text(bytes.to_vec()));
    }
    fn read(&self, _into: &mut [u8]) -> usize {
        0
    }
}

impl Observer for Listener {
    fn ended(&self, ending: Ending) {
        self.tell(Heard::Ended(ending));
    }
}

impl Guest<'_> {
    /// Runs the guest under the image's kernel, with translated code, until it ends or its time is up.
    ///
    /// # Panics
    /// When the host cannot run it, or a hart's thread panics.
    pub fn run(&self) -> Outcome {
        let kernel = crate::image().path(FileName::Kernel);
        let mut builder = Builder::new(self.memory_mib, self.harts).expect("memory for the guest");
        let code: Result<Vec<_>, _> = (0..self.harts).map(|_| CodeCache::new()).collect();
        builder.translate(code.expect("memory for generated code"));
        if let Some(volume) = self.volume {
            let volume = FileVolume::open(open(volume)).expect("a volume");
            let slot = builder.slot().expect("a slot");
            builder.attach((Block::plug(slot, Box::new(volume), "test"), ()));
        }
        if let Some(debugger) = self.debugger {
            builder.debug(debugger.try_clone().expect("a descriptor"));
        }
        let (sender, receiver) = mpsc::channel();
        let listener = Arc::new(Listener(Mutex::new(sender)));
        let line = format!("{COMMAND_LINE} {}", self.arguments);
        let machine = builder
            .start(
                &open(&kernel),
                Some(&open(self.initramfs)),
                &line,
                [7; 32],
                listener.clone(),
                listener,
            )
            .unwrap_or_else(|error| panic!("{error}"));
        let end = Instant::now() + self.limit;
        let (mut text, mut ending) = (Vec::new(), None);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            if let Some(meanwhile) = self.meanwhile {
                let (machine, over) = (&machine, &over);
                scope.spawn(move || meanwhile(machine, over));
            }
            let left = || end.saturating_duration_since(Instant::now());
            while let Ok(heard) = receiver.recv_timeout(left()) {
                match heard {
                    Heard::Text(bytes) => text.extend(bytes),
                    Heard::Ended(how) => {
                        ending = Some(how);
                        break;
                    }
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        machine.stop();
        machine.join();
        Outcome {
            lines: messages(&String::from_utf8_lossy(&text)),
            ending,
        }
    }
}

pub(crate) fn open(path: &Path) -> File {
    File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The kernel's messages without what it puts before them.
pub(crate) fn messages(log: &str) -> Vec<String> {
    log.lines()
        .map(|line| {
            let message = match line
                .strip_prefix('[')
                .and_then(|rest| rest.split_once("] "))
            {
                Some((_time, message)) => message,
                None => line,
            };
            message.trim_end().to_owned()
        })
        .collect()
}

impl Outcome {
    /// The last words, for a message about what went wrong.
    pub fn tail(&self) -> String {
        let from = self.lines.len().saturating_sub(60);
        self.lines[from..].join("\n")
    }

    /// What the guest's init said of a program's output, a line each.
    pub fn said(&self, name: &str) -> Vec<&str> {
        let prefix = format!("said {name} ");
        self.lines
            .iter()
            .filter_map(|line| line.strip_prefix(&prefix))
            .collect()
    }

    /// How a program ended, such as `exit 0`.
    pub fn end_of(&self, name: &str) -> Option<&str> {
        let prefix = format!("ended {name} ");
        self.lines
            .iter()
            .find_map(|line| line.strip_prefix(&prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_no_part_of_messages() {
        let log = "[    0.000000] Linux version 6\r\n[   12.5] said x [1] 2\nplain\n";
        assert_eq!(messages(log), ["Linux version 6", "said x [1] 2", "plain"]);
    }
}
