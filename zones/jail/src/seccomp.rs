//! The list of system calls that a zone process may make.
//!
//! Three filters stack, and the kernel takes the strictest answer: the list ends the process for anything not on it; a second filter
//! turns lookups of files, which libraries make as a matter of course, into `EACCES`; a third says `clone3` does not exist, because
//! its flags lie in memory where no filter sees them, and the C library then uses `clone`.

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use rustix::process::getpid;
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

use crate::jail::Allowances;

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Allowed whatever the arguments are. Each works on descriptors, memory or threads that the process already has.
const PLAIN: &[c_long] = &[
    // Memory (mmap, mprotect and madvise are below).
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_msync,
    // Threads and their synchronisation (clone is below).
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Signals to itself (tgkill is below).
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Open files (fallocate is below).
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_close,
    libc::SYS_dup,
    // Received sockets (sendto is below).
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    // Waiting.
    libc::SYS_ppoll,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    // Time and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
];

/// Older forms that only x86-64 still has.
#[cfg(target_arch = "x86_64")]
const PLAIN_OLD: &[c_long] = &[libc::SYS_poll, libc::SYS_epoll_wait, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const PLAIN_OLD: &[c_long] = &[];

/// Answered with `EACCES`.
const LOOKUPS: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
];

#[cfg(target_arch = "x86_64")]
const LOOKUPS_OLD: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
];
#[cfg(not(target_arch = "x86_64"))]
const LOOKUPS_OLD: &[c_long] = &[];

const CLONE_THREAD_FLAGS: u64 = bits(libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND);

/// Every flag of `clone` that would make a namespace or a traced, untracked or vforked child.
const CLONE_FORBIDDEN_FLAGS: u64 = bits(
    libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_PTRACE
        | libc::CLONE_VFORK,
);

/// Advice that concerns the process's own memory.
const ADVICE: &[u64] = &[
    bits(libc::MADV_NORMAL),
    bits(libc::MADV_RANDOM),
    bits(libc::MADV_SEQUENTIAL),
    bits(libc::MADV_WILLNEED),
    bits(libc::MADV_DONTNEED),
    bits(libc::MADV_FREE),
    bits(libc::MADV_HUGEPAGE),
    bits(libc::MADV_NOHUGEPAGE),
    bits(libc::MADV_DONTDUMP),
    bits(libc::MADV_DONTFORK),
    bits(libc::MADV_POPULATE_READ),
    bits(libc::MADV_POPULATE_WRITE),
    MADV_GUARD_INSTALL,
    MADV_GUARD_REMOVE,
];

/// Linux 6.13; newer C libraries guard thread stacks so.
const MADV_GUARD_INSTALL: u64 = 102;
const MADV_GUARD_REMOVE: u64 = 103;

/// What libusb asks of usbfs (linux/usbdevice_fs.h): control and queued transfers, claiming, alternate settings, halts, reset, speed.
const USB_REQUESTS: [u64; 17] = [
    0xc018_5500, // CONTROL
    0xc018_5502, // BULK
    0x8004_5503, // RESETEP
    0x8008_5504, // SETINTERFACE
    0x4104_5508, // GETDRIVER
    0x8038_550a, // SUBMITURB
    0x0000_550b, // DISCARDURB
    0x4008_550c, // REAPURB
    0x4008_550d, // REAPURBNDELAY
    0x8004_550f, // CLAIMINTERFACE
    0x8004_5510, // RELEASEINTERFACE
    0x4008_5511, // CONNECTINFO
    0xc010_5512, // IOCTL: to detach and reattach the kernel's driver
    0x8004_5515, // CLEAR_HALT
    0x8004_551a, // GET_CAPABILITIES
    0x8108_551b, // DISCONNECT_CLAIM
    0x0000_551f, // GET_SPEED
];

/// What hidraw is asked for reports (linux/hidraw.h): set and get a feature report, get an input report, each of any length, which is part of the number.
const HIDRAW_REQUESTS: [u64; 3] = [0xc000_4806, 0xc000_4807, 0xc000_480a];
const ANY_LENGTH: u64 = 0xc000_ffff;

/// Confines the calling thread and every thread it starts.
pub(crate) fn confine(allowances: Allowances) -> io::Result<()> {
    let rules = allow_list(allowances).map_err(io::Error::other)?;
    let lookups: Rules = LOOKUPS
        .iter()
        .chain(LOOKUPS_OLD)
        .map(|call| (*call, Vec::new()))
        .collect();
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let mut filters = Vec::new();
    for (rules, otherwise, matched) in [
        (
            lookups,
            SeccompAction::Allow,
            SeccompAction::Errno(errno(libc::EACCES)),
        ),
        (
            clone3,
            SeccompAction::Allow,
            SeccompAction::Errno(errno(libc::ENOSYS)),
        ),
        (rules, SeccompAction::KillProcess, SeccompAction::Allow),
    ] {
        filters.push(program(rules, otherwise, matched).map_err(io::Error::other)?);
    }
    // The list goes last: it does not allow the installation of another filter.
    filters
        .iter()
        .try_for_each(|filter| apply_filter(filter).map_err(io::Error::other))
}

/// Leaves the warden nothing but to wait and to end.
pub(crate) fn confine_warden() -> io::Result<()> {
    let mut rules: Rules = [
        libc::SYS_wait4,
        libc::SYS_exit_group,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_getpid,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect();
    let build = || -> Result<BpfProgram, BackendError> {
        rules.insert(libc::SYS_kill, vec![own_process()?]);
        program(rules, SeccompAction::KillProcess, SeccompAction::Allow)
    };
    apply_filter(&build().map_err(io::Error::other)?).map_err(io::Error::other)
}

fn allow_list(allowances: Allowances) -> Result<Rules, BackendError> {
    let mut rules: Rules = PLAIN
        .iter()
        .chain(PLAIN_OLD)
        .chain(LOOKUPS)
        .chain(LOOKUPS_OLD)
        .map(|call| (*call, Vec::new()))
        .collect();
    rules.insert(libc::SYS_clone3, Vec::new());
    let flags = CLONE_THREAD_FLAGS | CLONE_FORBIDDEN_FLAGS;
    rules.insert(
        libc::SYS_clone,
        vec![all([(0, Check::Masked(flags, CLONE_THREAD_FLAGS))])?],
    );

    let mut protections = vec![all([(2, Check::Masked(bits(libc::PROT_EXEC), 0))])?];
    if allowances.executable_memory {
        protections.push(all([(2, Check::Masked(bits(libc::PROT_WRITE), 0))])?);
    }
    rules.insert(libc::SYS_mmap, protections.clone());
    rules.insert(libc::SYS_mprotect, protections);
    rules.insert(libc::SYS_madvise, any(2, ADVICE)?);
    // Allocate, with or without a change of size, and punch a hole: overlays give discarded blocks back so.
    let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    rules.insert(
        libc::SYS_fallocate,
        any(1, &[0, bits(libc::FALLOC_FL_KEEP_SIZE), bits(hole)])?,
    );

    rules.insert(libc::SYS_tgkill, vec![own_process()?]);
    rules.insert(libc::SYS_sendto, vec![all([(4, Check::Word(0))])?]);
    rules.insert(libc::SYS_prctl, any(0, &[bits(libc::PR_SET_NAME)])?);
    let mut requests = vec![libc::FIONBIO, libc::FIOCLEX, libc::TCGETS];
    if allowances.usb_devices {
        requests.extend(USB_REQUESTS);
    }
    let mut requests = any(1, &requests)?;
    if allowances.usb_devices {
        for request in HIDRAW_REQUESTS {
            requests.push(all([(1, Check::Masked(ANY_LENGTH, request))])?);
        }
    }
    rules.insert(libc::SYS_ioctl, requests);
    let commands = [
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
        libc::F_DUPFD_CLOEXEC,
        libc::F_ADD_SEALS,
        libc::F_GET_SEALS,
    ];
    rules.insert(libc::SYS_fcntl, any(1, &commands.map(bits))?);
    // Asking for its own limits, never setting them.
    rules.insert(
        libc::SYS_prlimit64,
        vec![all([(0, Check::Half(0)), (2, Check::Word(0))])?],
    );
    Ok(rules)
}

/// What an argument must be: 32 bits of it, all 64, or some bits of 64.
enum Check {
    Half(u64),
    Word(u64),
    Masked(u64, u64),
}

fn all<const N: usize>(checks: [(u8, Check); N]) -> Result<SeccompRule, BackendError> {
    let condition = |(argument, check)| match check {
        Check::Half(value) => SeccompCondition::new(argument, Dword, Eq, value),
        Check::Word(value) => SeccompCondition::new(argument, Qword, Eq, value),
        Check::Masked(mask, value) => SeccompCondition::new(argument, Qword, MaskedEq(mask), value),
    };
    SeccompRule::new(
        checks
            .into_iter()
            .map(condition)
            .collect::<Result<_, _>>()?,
    )
}

fn any(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, BackendError> {
    values
        .iter()
        .map(|value| all([(argument, Check::Half(*value))]))
        .collect()
}

fn own_process() -> Result<SeccompRule, BackendError> {
    all([(
        0,
        Check::Half(getpid().as_raw_nonzero().get().unsigned_abs().into()),
    )])
}

fn program(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(
        rules,
        otherwise,
        matched,
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?
    .try_into()
}

/// A C flag as the kernel compares it.
const fn bits(flag: i32) -> u64 {
    flag.cast_unsigned() as u64
}

fn errno(errno: i32) -> u32 {
    errno.unsigned_abs()
}
