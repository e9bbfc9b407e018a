//! The Linux console (`console(4)`, `ioctl_console(2)`), taken away from the kernel while something else has screen and keyboard.
//!
//! While a [`Taken`] lives the kernel draws no text, hands no key to whatever reads the terminal, and switches to no other virtual
//! terminal, whoever asks. All of it ends when it is dropped, a panic included. A process that is killed leaves the console as it
//! was taken; the next one that takes it and ends well puts it right.
//!
//! This crate exists because these requests have no safe interface; nothing else is in it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::ioctl::{Getter, IntegerSetter, NoArg, Opcode, ioctl};

// linux/kd.h, linux/vt.h
const KDSETMODE: Opcode = 0x4b3a;
const KDGKBMODE: Opcode = 0x4b44;
const KDSKBMODE: Opcode = 0x4b45;
const VT_LOCKSWITCH: Opcode = 0x560b;
const VT_UNLOCKSWITCH: Opcode = 0x560c;

const KD_TEXT: usize = 0;
const KD_GRAPHICS: usize = 1;
const K_UNICODE: usize = 3;
const K_OFF: usize = 4;

/// Why the console could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TerminalError {
    /// It may not be opened.
    #[error("this user may not take the console; run as root, or log in on the console itself")]
    NotAllowed(#[source] io::Error),
    /// A request was refused.
    #[error("the console would not {act}; run as root, with the capability CAP_SYS_TTY_CONFIG")]
    Refused {
        /// What it should have done.
        act: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// A console that is taken.
#[derive(Debug)]
pub struct Taken {
    console: File,
    keyboard: usize,
}

impl Taken {
    /// Takes the console: the one that this program was started on, or else the one that is shown. `None`: the kernel has none, so
    /// nothing can get in the way.
    ///
    /// # Errors
    /// There is one, and it cannot be taken whole. Then it is as it was.
    pub fn take() -> Result<Option<Self>, TerminalError> {
        let Some((console, keyboard)) = find()? else {
            return Ok(None);
        };
        // From here on the drop puts everything back, also what was not done yet.
        let taken = Self { console, keyboard };
        taken.request("switch off its keyboard", set_keyboard_mode, K_OFF)?;
        taken.request("stop drawing text", set_display_mode, KD_GRAPHICS)?;
        lock_switching(&taken.console, true).map_err(|errno| TerminalError::Refused {
            act: "stay the one that is shown",
            source: errno.into(),
        })?;
        Ok(Some(taken))
    }

    fn request(
        &self,
        act: &'static str,
        set: fn(&File, usize) -> Result<(), Errno>,
        value: usize,
    ) -> Result<(), TerminalError> {
        set(&self.console, value).map_err(|errno| TerminalError::Refused {
            act,
            source: errno.into(),
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // There is nobody left to tell if one of these fails, and the others are to be tried all the same.
        let _ = lock_switching(&self.console, false);
        let _ = set_display_mode(&self.console, KD_TEXT);
        let _ = set_keyboard_mode(&self.console, self.keyboard);
        // What was typed before the keyboard was off is not for the shell that comes back.
        let _ = rustix::termios::tcflush(&self.console, rustix::termios::QueueSelector::IFlush);
    }
}

/// The console with its keyboard mode.
fn find() -> Result<Option<(File, usize)>, TerminalError> {
    if let Ok(own) = rustix::stdio::stdin().try_clone_to_owned()
        && let Ok(mode) = keyboard_mode(&own)
    {
        return Ok(Some((File::from(own), mode)));
    }
    let shown = OpenOptions::new()
        .read(true)
        .write(true)
        .open(Path::new("/dev/tty0"));
    match shown {
        Ok(shown) => match keyboard_mode(&shown) {
            Ok(mode) => Ok(Some((shown, mode))),
            Err(Errno::NOTTY | Errno::NXIO) => Ok(None),
            Err(errno) => Err(TerminalError::NotAllowed(errno.into())),
        },
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(TerminalError::NotAllowed(error)),
    }
}

/// A kernel without virtual terminals, or a container without the node.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::NXIO | Errno::NODEV)
    )
}

/// The mode to go back to. One that was left off by a program that was killed is not it.
fn keyboard_mode(console: impl AsFd) -> Result<usize, Errno> {
    // SAFETY: KDGKBMODE writes one int and reads nothing.
    let mode = unsafe { ioctl(console, Getter::<KDGKBMODE, i32>::new()) }?;
    Ok(usize::try_from(mode)
        .ok()
        .filter(|mode| *mode != K_OFF)
        .unwrap_or(K_UNICODE))
}

fn set_keyboard_mode(console: &File, mode: usize) -> Result<(), Errno> {
    // SAFETY: KDSKBMODE takes its argument by value.
    unsafe { ioctl(console, IntegerSetter::<KDSKBMODE>::new_usize(mode)) }
}

fn set_display_mode(console: &File, mode: usize) -> Result<(), Errno> {
    // SAFETY: KDSETMODE takes its argument by value.
    unsafe { ioctl(console, IntegerSetter::<KDSETMODE>::new_usize(mode)) }
}

fn lock_switching(console: &File, locked: bool) -> Result<(), Errno> {
    // SAFETY: neither request has an argument.
    unsafe {
        if locked {
            ioctl(console, NoArg::<VT_LOCKSWITCH>::new())
        } else {
            ioctl(console, NoArg::<VT_UNLOCKSWITCH>::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_console_is_not_taken() {
        let pipe = File::open("/dev/null").unwrap();
        assert!(keyboard_mode(&pipe).is_err());
        assert!(is_missing(&io::Error::from_raw_os_error(
            Errno::NOENT.raw_os_error()
        )));
        assert!(!is_missing(&io::Error::from_raw_os_error(
            Errno::ACCESS.raw_os_error()
        )));
    }
}
