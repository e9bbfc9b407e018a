//! The jailed side: closes the jail, tries one thing, says how it went.

use std::fs::{self, File};
use std::io;
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};
use zone_jail::{Jail, JailError, Layers, Limits};

/// What every prisoner is held to.
pub(crate) const LIMITS: Limits = Limits {
    descriptors: 64,
    memory_bytes: Some(256 << 20),
    file_bytes: Some(2 << 20),
};

/// Read by another prisoner, or not.
static SECRET: [u8; 16] = *b"correct horse ba";

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    // Something to leave open. The jail closes it behind its owner's back, so the owner must not.
    let inherited = ManuallyDrop::new(File::open("/proc/self/status").expect("a file to inherit"));
    let scratch = rustix::fs::memfd_create("scratch", rustix::fs::MemfdFlags::CLOEXEC);
    let scratch = ManuallyDrop::new(File::from(scratch.expect("a file without a name")));
    let (mut required, mut left_out) = (Layers::default(), Layers::default());
    let mut keep = None;
    let mut rest = arguments.iter().map(String::as_str);
    let attempt = loop {
        match rest.next().expect("an attempt") {
            "--require" => required = rest.next().unwrap().parse().unwrap(),
            "--leave-out" => left_out = rest.next().unwrap().parse().unwrap(),
            "--keep-inherited" => keep = Some(inherited.as_fd()),
            "--host-lacks" => rest.next().unwrap().split(',').for_each(lack),
            attempt => break attempt,
        }
    };
    if matches!(attempt, "punch" | "grow" | "fill" | "ordinary-work") {
        keep = Some(scratch.as_fd());
    }
    let mut jail = Jail::new(required).leave_out(left_out).limits(LIMITS);
    if attempt == "rehearse" {
        // The rehearsal leaves this process free, and tells what the real thing then does.
        let rehearsed = jail.rehearse().expect("a rehearsal");
        assert!(File::open("/proc/self/status").is_ok());
        let report = jail.apply().expect("a jail");
        println!("worked {}", rehearsed == report);
        return ExitCode::SUCCESS;
    }
    if let Some(descriptor) = keep {
        jail = jail.keep(descriptor);
    }
    let report = match jail.apply() {
        Ok(report) => report,
        Err(JailError::Missing { layer, reason, .. }) => {
            println!("no-jail {layer}: {reason}");
            return ExitCode::from(3);
        }
        Err(error) => {
            println!("no-jail {error}");
            return ExitCode::from(4);
        }
    };
    let arguments: Vec<&str> = rest.collect();
    let said = match attempt {
        "report" => {
            let in_force = report.in_force().iter().map(|layer| format!("+{layer}"));
            let missing = report
                .missing()
                .iter()
                .map(|(layer, reason)| format!("-{layer} ({reason})"));
            Ok(in_force.chain(missing).collect::<Vec<_>>().join(" "))
        }
        "read-inherited" => system(|| {
            let mut byte = 0_u8;
            // SAFETY: one byte into one byte.
            unsafe { libc::read(inherited.as_raw_fd(), (&raw mut byte).cast(), 1) as i64 }
        }),
        "punch" => {
            let hole =
                rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(scratch.as_fd(), hole, 0, 4096)
                .map(|()| String::new())
                .map_err(io::Error::from)
        }
        "grow" => {
            let plainly = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(scratch.as_fd(), plainly, 0, 1 << 20)
                .map(|()| String::new())
                .map_err(io::Error::from)
        }
        "fill" => scratch
            .write_all_at(b"x", arguments[0].parse().unwrap())
            .map(|()| String::new()),
        "ordinary-work" => ordinary_work(&scratch),
        _ => try_to(attempt, &arguments),
    };
    match said {
        Ok(said) => println!("worked {said}"),
        Err(error) => println!("refused {}", error.raw_os_error().unwrap_or(0)),
    }
    ExitCode::SUCCESS
}

fn try_to(attempt: &str, arguments: &[&str]) -> io::Result<String> {
    let number = |index: usize| arguments[index].parse::<i64>().unwrap();
    let process = |index: usize| i32::try_from(number(index)).unwrap();
    match attempt {
        "open" => File::open(arguments[0]).map(|_| String::new()),
        "list" => fs::read_dir(arguments[0]).map(|entries| entries.count().to_string()),
        "write" => fs::write(arguments[0], b"x").map(|()| String::new()),
        // SAFETY: plain numbers.
        "socket" => system(|| unsafe { libc::socket(process(0), libc::SOCK_STREAM, 0).into() }),
        "connect" => {
            TcpStream::connect(arguments[0].parse::<SocketAddr>().unwrap()).map(|_| String::new())
        }
        // SAFETY: signal 0 only asks.
        "signal" => system(|| unsafe { libc::kill(process(0), 0).into() }),
        // SAFETY: attaching changes nothing of ours.
        "trace" => system(|| unsafe { libc::ptrace(libc::PTRACE_SEIZE, process(0), 0, 0) }),
        "read-memory" => {
            let mut bytes = [0_u8; 16];
            let local = libc::iovec {
                iov_base: bytes.as_mut_ptr().cast(),
                iov_len: 16,
            };
            let remote = libc::iovec {
                iov_base: number(1) as *mut libc::c_void,
                iov_len: 16,
            };
            // SAFETY: 16 bytes into 16 bytes; the other end is another process's.
            system(|| unsafe {
                libc::process_vm_readv(process(0), &local, 1, &remote, 1, 0) as i64
            })?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        // SAFETY: strings with their ends.
        "mount" => system(|| unsafe {
            libc::mount(
                c"x".as_ptr(),
                c"/".as_ptr(),
                c"tmpfs".as_ptr(),
                0,
                std::ptr::null(),
            )
            .into()
        }),
        "run" => {
            let arguments = [c"/bin/true".as_ptr(), std::ptr::null()];
            // SAFETY: strings with their ends, and a list with its own.
            system(|| unsafe { libc::execv(c"/bin/true".as_ptr(), arguments.as_ptr()).into() })
        }
        // SAFETY: one thread; the child exits at once.
        "fork" => system(|| match unsafe { libc::fork() } {
            // SAFETY: as above.
            0 => unsafe { libc::_exit(0) },
            child => child.into(),
        }),
        // SAFETY: plain numbers.
        "unshare" => system(|| unsafe { libc::unshare(libc::CLONE_NEWUSER).into() }),
        // SAFETY: plain numbers.
        "become-root" => system(|| unsafe { libc::setuid(0).into() }),
        "map" => map(process(0), 4096, libc::MAP_PRIVATE),
        "allocate" => map(3, usize::try_from(number(0)).unwrap(), libc::MAP_PRIVATE),
        "share" => map(3, usize::try_from(number(0)).unwrap(), libc::MAP_SHARED),
        "make-file-in-memory" => {
            rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC)?;
            Ok(String::new())
        }
        "core-limit" => Ok(format!(
            "{:?}",
            rustix::process::getrlimit(rustix::process::Resource::Core).current
        )),
        "user" => Ok(rustix::process::geteuid().as_raw().to_string()),
        "new-privileges" => Ok(rustix::thread::no_new_privs()?.to_string()),
        // SAFETY: asking only.
        "host-name" => system(|| unsafe { libc::sethostname(c"x".as_ptr(), 1).into() }),
        "exit" => std::process::exit(process(0)),
        "abort" => std::process::abort(),
        "panic" => panic!("as asked"),
        "hold-secret" => {
            println!("{}", SECRET.as_ptr() as usize);
            loop {
                std::thread::park();
            }
        }
        other => panic!("no such attempt: {other}"),
    }
}

/// What a zone process does all day must work.
fn ordinary_work(file: &File) -> io::Result<String> {
    rustix::fs::ftruncate(file, 1 << 20)?;
    file.write_all_at(b"hello", 4096)?;
    let size = rustix::fs::fstat(file)?.st_size;
    let threads: Vec<_> = (0..4_u64)
        .map(|index| {
            std::thread::Builder::new()
                .name(format!("hart-{index}"))
                .spawn(move || {
                    let allocated: Vec<u64> = (0..100_000).map(|value| value ^ index).collect();
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    allocated.iter().sum::<u64>()
                })
        })
        .collect::<io::Result<_>>()?;
    let (sender, receiver) = std::sync::mpsc::channel();
    for thread in threads {
        sender.send(thread.join().unwrap()).unwrap();
    }
    let event = rustix::event::eventfd(1, rustix::event::EventfdFlags::CLOEXEC)?;
    let mut watched = [rustix::event::PollFd::new(
        &event,
        rustix::event::PollFlags::IN,
    )];
    rustix::event::poll(&mut watched, None)?;
    let now = std::time::Instant::now();
    eprintln!("logging works {now:?}");
    Ok(format!("{size} {}", receiver.try_iter().count()))
}

fn map(protection: i32, bytes: usize, sharing: i32) -> io::Result<String> {
    // SAFETY: a new mapping at a place of the kernel's choice.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            protection,
            sharing | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        Err(io::Error::last_os_error())
    } else {
        Ok(String::new())
    }
}

fn system(call: impl FnOnce() -> i64) -> io::Result<String> {
    match call() {
        -1 => Err(io::Error::last_os_error()),
        other => Ok(other.to_string()),
    }
}

/// Makes this process see a host that lacks a feature.
fn lack(feature: &str) {
    let new_user = || {
        let flag = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
        let condition = SeccompCondition::new(
            0,
            SeccompCmpArgLen::Qword,
            SeccompCmpOp::MaskedEq(flag),
            flag,
        )
        .unwrap();
        vec![SeccompRule::new(vec![condition]).unwrap()]
    };
    let (call, rules, errno) = match feature {
        "unshare" => (libc::SYS_unshare, Vec::new(), libc::EPERM),
        "user-namespaces" => (libc::SYS_unshare, new_user(), libc::EPERM),
        "landlock" => (libc::SYS_landlock_create_ruleset, Vec::new(), libc::ENOSYS),
        other => panic!("no such feature: {other}"),
    };
    let architecture = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let refuse = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(
        [(call, rules)].into(),
        SeccompAction::Allow,
        refuse,
        architecture,
    )
    .unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    apply_filter(&program).unwrap();
}
