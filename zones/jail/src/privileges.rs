//! No new privileges, no capabilities, nobody may trace us, and we do not outlive our parent.

use std::io;

use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal,
};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_capabilities_secure_bits, set_no_new_privs,
};

pub(crate) fn no_new_privileges() -> io::Result<()> {
    set_no_new_privs(true).map_err(io::Error::from)
}

/// Empties every capability set. The bounding set and the secure bits can only be changed with `CAP_SETPCAP`, which a process that
/// is not root in a user namespace of its own never had; no new privileges then does what they would.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    if capabilities(None)?
        .effective
        .contains(CapabilitySet::SETPCAP)
    {
        for capability in (0..64).filter_map(|bit| CapabilitySet::from_bits(1 << bit)) {
            match remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                // The kernel knows fewer capabilities than there are bits.
                Err(Errno::INVAL) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        let locked = CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
        set_capabilities_secure_bits(locked)?;
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none)?;
    let left = capabilities(None)?;
    if left == none {
        Ok(())
    } else {
        Err(io::Error::other("the kernel kept a capability"))
    }
}

/// Keeps processes of the same user from tracing us or reading our `/proc` entries. Undone by nothing short of `exec`.
pub(crate) fn forbid_tracing() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(io::Error::from)
}

/// The kernel kills us when the thread that started us is gone.
pub(crate) fn die_with_parent() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from)
}
