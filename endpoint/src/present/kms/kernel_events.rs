//! What the kernel tells unasked: devices and screens that come and go (its uevents, without udev), and that the machine has slept.
//!
//! A message only ever makes us look again. What it says beyond that is not believed: other processes could have sent it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// The group of messages that come from the kernel itself.
const FROM_THE_KERNEL: u32 = 1;
/// Messages read in one turn; the rest wait for the next.
const MOST: usize = 256;

pub(super) struct KernelEvents {
    uevents: OwnedFd,
    /// Readable when the clock was set, which waking up does: the session then sees that the machine slept.
    clock_set: OwnedFd,
}

/// What may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) screens: bool,
    pub(super) devices: bool,
}

impl KernelEvents {
    pub(super) fn listen() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let uevents = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            flags,
            Some(KOBJECT_UEVENT),
        )?;
        bind(&uevents, &SocketAddrNetlink::new(0, FROM_THE_KERNEL))?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let clock_set = timerfd_create(TimerfdClockId::Realtime, flags)?;
        arm(&clock_set)?;
        Ok(Self { uevents, clock_set })
    }

    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.uevents.as_fd(), self.clock_set.as_fd()]
    }

    /// What happened since the last time.
    pub(super) fn take(&self) -> Happened {
        let mut happened = Happened::default();
        for _ in 0..MOST {
            let mut message = [0u8; 8192];
            match recv(&self.uevents, &mut message, RecvFlags::empty()) {
                Ok((length, _)) => {
                    happened.add(message_of(message.get(..length).unwrap_or_default()));
                }
                // Some were lost: anything may have happened.
                Err(Errno::NOBUFS) => (happened.screens, happened.devices) = (true, true),
                Err(_) => break,
            }
        }
        let mut count = [0; 8];
        if let Err(Errno::CANCELED) = rustix::io::read(&self.clock_set, &mut count)
            && let Err(error) = arm(&self.clock_set)
        {
            tracing::warn!("sleep will not be noticed any more: {error}");
        }
        happened
    }
}

/// Which kind of thing a message is about: `ACTION@path`, then `KEY=value` each closed by a zero byte.
fn message_of(message: &[u8]) -> Happened {
    let is_about = |subsystem: &[u8]| {
        message
            .split(|byte| *byte == 0)
            .any(|line| line.strip_prefix(b"SUBSYSTEM=") == Some(subsystem))
    };
    Happened {
        screens: is_about(b"drm"),
        devices: is_about(b"input"),
    }
}

impl Happened {
    fn add(&mut self, other: Self) {
        self.screens |= other.screens;
        self.devices |= other.devices;
    }
}

/// Sets the timer to a time that never comes: only a change of the clock ends it.
fn arm(timer: &OwnedFd) -> io::Result<()> {
    let never = Itimerspec {
        it_interval: Timespec::default(),
        it_value: Timespec {
            tv_sec: 1 << 40,
            tv_nsec: 0,
        },
    };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(timer, flags, &never)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_only_where_to_look() {
        let drm = b"change@/devices/card0\0ACTION=change\0SUBSYSTEM=drm\0HOTPLUG=1\0";
        assert!(message_of(drm).screens && !message_of(drm).devices);
        let input = b"add@/devices/input3\0SUBSYSTEM=input\0";
        assert!(message_of(input).devices && !message_of(input).screens);
        for other in [
            &b"add@/x\0SUBSYSTEM=drm_dp_aux_dev\0"[..],
            b"SUBSYSTEM",
            b"",
            b"XSUBSYSTEM=drm\0",
        ] {
            assert_eq!(message_of(other), Happened::default());
        }
    }

    #[test]
    fn a_quiet_machine_wakes_nobody() {
        let events = KernelEvents::listen().unwrap();
        let [_, clock_set] = events.descriptors();
        let mut count = [0; 8];
        let read = rustix::io::read(clock_set, &mut count);
        assert_eq!(read, Err(Errno::AGAIN));
    }
}
