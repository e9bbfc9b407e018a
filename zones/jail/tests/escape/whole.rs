//! The whole jail, started by root or by an ordinary user, on hosts that have everything and on hosts that lack something.

use std::os::unix::process::ExitStatusExt;

use libc::{EACCES, EFBIG, ENOMEM, SIGKILL, SIGSYS};
use zone_jail::{Layer, Layers, Limits};

use crate::prisoner::LIMITS;
use crate::{Outcome, Prisoner, first_line, is_root};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "whole::every_layer_the_host_has_is_in_force",
        every_layer_the_host_has_is_in_force,
    ),
    (
        "whole::a_rehearsal_tells_what_the_jail_will_do",
        a_rehearsal_tells_what_the_jail_will_do,
    ),
    ("whole::nothing_gets_out", nothing_gets_out),
    ("whole::ordinary_work_goes_on", ordinary_work_goes_on),
    (
        "whole::memory_and_files_have_an_end",
        memory_and_files_have_an_end,
    ),
    (
        "whole::a_host_without_namespaces_weakens_the_jail_visibly",
        a_host_without_namespaces_weakens_the_jail_visibly,
    ),
    (
        "whole::a_required_layer_that_is_missing_refuses",
        a_required_layer_that_is_missing_refuses,
    ),
    (
        "whole::root_manages_without_user_namespaces",
        root_manages_without_user_namespaces,
    ),
    (
        "whole::the_warden_ends_as_its_prisoner",
        the_warden_ends_as_its_prisoner,
    ),
    (
        "whole::killing_the_warden_kills_the_prisoner",
        killing_the_warden_kills_the_prisoner,
    ),
    (
        "whole::one_zone_cannot_read_another",
        one_zone_cannot_read_another,
    ),
];

/// A user id without an account; it needs none.
const SOMEBODY: u32 = 54_321;

/// Everyone who may start a zone here.
fn starters() -> Vec<Prisoner> {
    let mut starters = vec![Prisoner::new()];
    if is_root() {
        starters.push(Prisoner::new().started_by(SOMEBODY));
    }
    starters
}

/// What the host offers, found out in another way than the jail does.
fn expected() -> Layers {
    let namespaces = std::process::Command::new("unshare")
        .args([
            "--user", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork", "true",
        ])
        .status()
        .is_ok_and(|status| status.success());
    // SAFETY: asks for the interface's version and passes no pointer.
    let landlock = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, 1) };
    let there = |layer: &Layer| match layer {
        Layer::UserNamespace
        | Layer::MountNamespace
        | Layer::PidNamespace
        | Layer::NetworkNamespace
        | Layer::IpcNamespace
        | Layer::UtsNamespace
        | Layer::CgroupNamespace
        | Layer::EmptyRoot => namespaces,
        Layer::Landlock => landlock >= 1,
        Layer::LandlockNetwork => landlock >= 4,
        Layer::LandlockScope => landlock >= 6,
        _ => true,
    };
    Layer::ALL.into_iter().filter(there).collect()
}

fn every_layer_the_host_has_is_in_force() {
    let expected = expected();
    for starter in starters() {
        let Outcome::Worked(report) = starter.requiring(&expected.to_string()).tries(&["report"])
        else {
            panic!("the jail did not close");
        };
        for layer in expected.iter() {
            assert!(
                report.contains(&format!("+{layer}")),
                "{layer} is not in force: {report}"
            );
        }
    }
}

fn a_rehearsal_tells_what_the_jail_will_do() {
    for starter in starters() {
        assert_eq!(
            starter.tries(&["rehearse"]),
            Outcome::Worked("true".to_owned())
        );
        let weak = starter.on_a_host_without("unshare,landlock");
        assert_eq!(
            weak.tries(&["rehearse"]),
            Outcome::Worked("true".to_owned())
        );
    }
}

fn nothing_gets_out() {
    let us = std::process::id().to_string();
    let address = (&raw const us as usize).to_string();
    let attempts: &[(&[&str], Outcome)] = &[
        (&["open", "/etc/passwd"], Outcome::Refused(EACCES)),
        (&["open", "/proc/self/status"], Outcome::Refused(EACCES)),
        (&["list", "/proc"], Outcome::Refused(EACCES)),
        (&["write", "/tmp/bulkhead-escape"], Outcome::Refused(EACCES)),
        (&["socket", "1"], Outcome::Killed(SIGSYS)),
        (&["socket", "2"], Outcome::Killed(SIGSYS)),
        (&["signal", &us], Outcome::Killed(SIGSYS)),
        (&["trace", &us], Outcome::Killed(SIGSYS)),
        (&["read-memory", &us, &address], Outcome::Killed(SIGSYS)),
        (&["mount"], Outcome::Killed(SIGSYS)),
        (&["run"], Outcome::Killed(SIGSYS)),
        (&["fork"], Outcome::Killed(SIGSYS)),
        (&["unshare"], Outcome::Killed(SIGSYS)),
        (&["become-root"], Outcome::Killed(SIGSYS)),
        (&["host-name"], Outcome::Killed(SIGSYS)),
        (&["make-file-in-memory"], Outcome::Killed(SIGSYS)),
        (&["map", "5"], Outcome::Killed(SIGSYS)),
        (&["map", "7"], Outcome::Killed(SIGSYS)),
    ];
    for starter in starters() {
        for (attempt, expected) in attempts {
            assert_eq!(&starter.tries(attempt), expected, "{attempt:?}");
        }
    }
}

fn ordinary_work_goes_on() {
    for starter in starters() {
        assert_eq!(
            starter.tries(&["ordinary-work"]),
            Outcome::Worked("1048576 4".to_owned())
        );
        assert_eq!(starter.tries(&["punch"]), Outcome::Worked(String::new()));
        assert_eq!(starter.tries(&["grow"]), Outcome::Worked(String::new()));
        assert_eq!(starter.tries(&["map", "3"]), Outcome::Worked(String::new()));
    }
}

fn memory_and_files_have_an_end() {
    let within = || Outcome::Worked(String::new());
    for starter in starters() {
        let most = LIMITS.memory_bytes.unwrap();
        let try_bytes = |what, bytes: u64| starter.tries(&[what, &bytes.to_string()]);
        assert_eq!(try_bytes("allocate", most / 2), within());
        assert_eq!(try_bytes("allocate", most), Outcome::Refused(ENOMEM));
        assert_eq!(
            try_bytes("share", most + Limits::MAPPINGS),
            Outcome::Refused(ENOMEM)
        );
        let end = LIMITS.file_bytes.unwrap();
        assert_eq!(try_bytes("fill", end - 1), within());
        assert_eq!(try_bytes("fill", end), Outcome::Refused(EFBIG));
    }
}

fn a_host_without_namespaces_weakens_the_jail_visibly() {
    for starter in starters() {
        let Outcome::Worked(report) = starter
            .clone()
            .on_a_host_without("unshare,landlock")
            .tries(&["report"])
        else {
            panic!("a jail that requires nothing did not close");
        };
        for missing in [
            "-user-namespace (",
            "-pid-namespace (",
            "-empty-root (",
            "-landlock (",
        ] {
            assert!(report.contains(missing), "{missing} is not told: {report}");
        }
        for kept in [
            "+seccomp",
            "+no-capabilities",
            "+no-new-privileges",
            "+unprivileged-user",
        ] {
            assert!(report.contains(kept), "{kept} is not in force: {report}");
        }
        let weak = starter.on_a_host_without("unshare,landlock");
        assert_eq!(
            weak.tries(&["open", "/etc/passwd"]),
            Outcome::Refused(EACCES)
        );
        assert_eq!(weak.tries(&["socket", "2"]), Outcome::Killed(SIGSYS));
        assert_eq!(
            weak.tries(&["ordinary-work"]),
            Outcome::Worked("1048576 4".to_owned())
        );
    }
}

fn a_required_layer_that_is_missing_refuses() {
    let lacking = Prisoner::new().on_a_host_without("landlock");
    let Outcome::NoJail(reason) = lacking
        .clone()
        .requiring("seccomp,landlock")
        .tries(&["exit", "0"])
    else {
        panic!("the jail closed without Landlock");
    };
    assert!(
        reason.starts_with("landlock: ") && reason.contains("no Landlock"),
        "{reason}"
    );
    assert_eq!(
        lacking
            .requiring("seccomp,no-capabilities")
            .tries(&["exit", "5"]),
        Outcome::Exited(5)
    );
    let left_out = Prisoner::new()
        .without("seccomp")
        .requiring("seccomp")
        .tries(&["exit", "0"]);
    assert!(
        matches!(left_out, Outcome::NoJail(_)),
        "a layer that was not tried counts as missing"
    );
}

fn root_manages_without_user_namespaces() {
    if !is_root() || !expected().contains(Layer::UserNamespace) {
        return;
    }
    let required = "mount-namespace,pid-namespace,network-namespace,empty-root,unprivileged-user,no-capabilities,seccomp";
    let prisoner = Prisoner::new()
        .on_a_host_without("user-namespaces")
        .requiring(required);
    let Outcome::Worked(report) = prisoner.tries(&["report"]) else {
        panic!("the jail did not close")
    };
    assert!(report.contains("-user-namespace ("), "{report}");
    let free = prisoner.without("seccomp,landlock").requiring("");
    assert_eq!(
        free.tries(&["open", "/etc/passwd"]),
        Outcome::Refused(libc::ENOENT)
    );
    assert_eq!(
        free.tries(&["signal", &std::process::id().to_string()]),
        Outcome::Refused(libc::ESRCH)
    );
    assert_eq!(free.tries(&["mount"]), Outcome::Refused(libc::EPERM));
    assert_ne!(free.tries(&["user"]), Outcome::Worked("0".to_owned()));
}

fn the_warden_ends_as_its_prisoner() {
    for starter in starters() {
        for code in [0, 1, 7, 255] {
            assert_eq!(
                starter.tries(&["exit", &code.to_string()]),
                Outcome::Exited(code)
            );
        }
        assert_eq!(starter.tries(&["panic"]), Outcome::Exited(101));
        // The first process of a pid namespace survives SIGABRT from itself; abort() then ends by a trap.
        let aborted = starter.tries(&["abort"]);
        assert!(
            matches!(
                aborted,
                Outcome::Killed(libc::SIGABRT | libc::SIGSEGV | libc::SIGILL)
            ),
            "{aborted}"
        );
    }
}

fn killing_the_warden_kills_the_prisoner() {
    for starter in starters() {
        let mut warden = starter.start(&["hold-secret"]);
        let mut said = warden.stdout.take().unwrap();
        let mut first = [0];
        std::io::Read::read_exact(&mut said, &mut first).unwrap();
        warden.kill().unwrap();
        assert_eq!(warden.wait().unwrap().signal(), Some(SIGKILL));
        // The prisoner alone still holds the other end: the read ends when it does, and hangs the test when it does not.
        std::io::Read::read_to_end(&mut said, &mut Vec::new()).unwrap();
    }
}

fn one_zone_cannot_read_another() {
    if !expected().contains(Layer::PidNamespace) {
        return;
    }
    for starter in starters() {
        let mut warden = starter.start(&["hold-secret"]);
        let address = first_line(&mut warden);
        let children = format!("/proc/{0}/task/{0}/children", warden.id());
        let victim = std::fs::read_to_string(children).unwrap().trim().to_owned();
        // A control: on this host, we ourselves as root could read it.
        if is_root() {
            let memory = std::fs::File::open(format!("/proc/{victim}/mem")).unwrap();
            let mut bytes = [0; 16];
            std::os::unix::fs::FileExt::read_exact_at(
                &memory,
                &mut bytes,
                address.parse().unwrap(),
            )
            .unwrap();
            assert_eq!(&bytes, b"correct horse ba");
        }
        let read = ["read-memory", victim.as_str(), address.as_str()];
        assert_eq!(starter.tries(&read), Outcome::Killed(SIGSYS));
        assert_eq!(
            starter.clone().without("seccomp").tries(&read),
            Outcome::Refused(libc::ESRCH)
        );
        let sees_it =
            starter.without("seccomp,pid-namespace,landlock,landlock-network,landlock-scope");
        assert_eq!(sees_it.tries(&read), Outcome::Refused(libc::EPERM));
        assert_eq!(
            sees_it.tries(&["trace", &victim]),
            Outcome::Refused(libc::EPERM)
        );
        warden.kill().unwrap();
        warden.wait().unwrap();
    }
}
