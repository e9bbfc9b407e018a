//! Each layer with all others left out: what it holds by itself. They run as root, who has most to lose; a layer that this host lacks
//! is told and passed over.

use std::net::TcpListener;

use libc::{EACCES, EBADF, ENETUNREACH, ENOENT, EPERM, ESRCH, SIGSYS};

use crate::{Outcome, Prisoner, is_root};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "alone::without_any_layer_everything_works",
        without_any_layer_everything_works,
    ),
    ("alone::closed_descriptors", closed_descriptors),
    ("alone::resource_limits", resource_limits),
    ("alone::unprivileged_user", unprivileged_user),
    ("alone::user_namespace", user_namespace),
    ("alone::pid_namespace", pid_namespace),
    ("alone::network_namespace", network_namespace),
    ("alone::uts_namespace", uts_namespace),
    ("alone::empty_root", empty_root),
    ("alone::no_new_privileges", no_new_privileges),
    ("alone::no_capabilities", no_capabilities),
    ("alone::landlock", landlock),
    ("alone::landlock_network", landlock_network),
    ("alone::landlock_scope", landlock_scope),
    ("alone::seccomp", seccomp),
];

fn us() -> String {
    std::process::id().to_string()
}

/// The prisoner with these layers alone, or None (and a word) where the host lacks one or nobody is root.
fn only(layers: &str) -> Option<Prisoner> {
    if !is_root() {
        println!("  {layers}: not run as root, passed over");
        return None;
    }
    let prisoner = Prisoner::new().only(layers).requiring(layers);
    match prisoner.tries(&["report"]) {
        Outcome::Worked(_) => Some(prisoner),
        other => {
            println!("  {layers}: this host lacks it, passed over: {other}");
            None
        }
    }
}

fn worked() -> Outcome {
    Outcome::Worked(String::new())
}

/// The control for all that follows: what is refused there is not refused for want of anything else.
fn without_any_layer_everything_works() {
    if !is_root() {
        return;
    }
    let free = Prisoner::new().only("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_eq!(free.tries(&["open", "/etc/shadow"]), worked());
    assert_eq!(free.tries(&["connect", &address]), worked());
    assert_eq!(
        free.tries(&["signal", &us()]),
        Outcome::Worked("0".to_owned())
    );
    assert_eq!(free.tries(&["user"]), Outcome::Worked("0".to_owned()));
    assert!(matches!(free.tries(&["socket", "2"]), Outcome::Worked(_)));
    assert_eq!(
        free.tries(&["read-inherited"]),
        Outcome::Worked("1".to_owned())
    );
    assert_eq!(free.tries(&["run"]), Outcome::Exited(0));
    assert_eq!(free.tries(&["map", "7"]), worked());
}

fn closed_descriptors() {
    let Some(prisoner) = only("closed-descriptors") else {
        return;
    };
    assert_eq!(prisoner.tries(&["read-inherited"]), Outcome::Refused(EBADF));
    let kept = prisoner.tries(&["--keep-inherited", "read-inherited"]);
    assert_eq!(kept, Outcome::Worked("1".to_owned()));
}

fn resource_limits() {
    let Some(prisoner) = only("resource-limits") else {
        return;
    };
    assert_eq!(
        prisoner.tries(&["core-limit"]),
        Outcome::Worked("Some(0)".to_owned())
    );
}

fn unprivileged_user() {
    let Some(prisoner) = only("unprivileged-user") else {
        return;
    };
    assert_eq!(
        prisoner.tries(&["open", "/etc/shadow"]),
        Outcome::Refused(EACCES)
    );
    assert_eq!(prisoner.tries(&["signal", &us()]), Outcome::Refused(EPERM));
    assert_eq!(prisoner.tries(&["become-root"]), Outcome::Refused(EPERM));
    let Outcome::Worked(first) = prisoner.tries(&["user"]) else {
        panic!("no user")
    };
    let Outcome::Worked(second) = prisoner.tries(&["user"]) else {
        panic!("no user")
    };
    assert_ne!(first, "0");
    assert!(
        first != second || first == "65534",
        "two zones share user {first}"
    );
}

fn user_namespace() {
    let Some(prisoner) = only("unprivileged-user,user-namespace") else {
        return;
    };
    assert_eq!(
        prisoner.tries(&["user"]),
        Outcome::Worked("65534".to_owned())
    );
    assert!(matches!(
        prisoner.tries(&["become-root"]),
        Outcome::Refused(_)
    ));
    assert_eq!(prisoner.tries(&["signal", &us()]), Outcome::Refused(EPERM));
}

fn pid_namespace() {
    let Some(prisoner) = only("pid-namespace") else {
        return;
    };
    assert_eq!(prisoner.tries(&["signal", &us()]), Outcome::Refused(ESRCH));
    assert_eq!(prisoner.tries(&["trace", &us()]), Outcome::Refused(ESRCH));
}

fn network_namespace() {
    let Some(prisoner) = only("network-namespace") else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_eq!(
        prisoner.tries(&["connect", &address]),
        Outcome::Refused(ENETUNREACH)
    );
}

fn uts_namespace() {
    let before = rustix::system::uname().nodename().to_owned();
    let Some(prisoner) = only("uts-namespace") else {
        return;
    };
    assert_eq!(
        prisoner.tries(&["host-name"]),
        Outcome::Worked("0".to_owned())
    );
    assert_eq!(rustix::system::uname().nodename(), before.as_c_str());
}

fn empty_root() {
    let Some(prisoner) = only("mount-namespace,empty-root") else {
        return;
    };
    assert_eq!(
        prisoner.tries(&["open", "/etc/passwd"]),
        Outcome::Refused(ENOENT)
    );
    assert_eq!(
        prisoner.tries(&["open", "../../etc/passwd"]),
        Outcome::Refused(ENOENT)
    );
    assert_eq!(
        prisoner.tries(&["list", "/"]),
        Outcome::Worked("0".to_owned())
    );
    assert_eq!(
        prisoner.tries(&["write", "/x"]),
        Outcome::Refused(libc::EROFS)
    );
}

fn no_new_privileges() {
    let Some(prisoner) = only("no-new-privileges") else {
        return;
    };
    assert_eq!(
        prisoner.tries(&["new-privileges"]),
        Outcome::Worked("true".to_owned())
    );
}

fn no_capabilities() {
    let Some(prisoner) = only("no-capabilities") else {
        return;
    };
    assert_eq!(prisoner.tries(&["mount"]), Outcome::Refused(EPERM));
    assert_eq!(prisoner.tries(&["host-name"]), Outcome::Refused(EPERM));
}

fn landlock() {
    let Some(prisoner) = only("landlock") else {
        return;
    };
    assert_eq!(
        prisoner.tries(&["open", "/etc/passwd"]),
        Outcome::Refused(EACCES)
    );
    assert_eq!(prisoner.tries(&["list", "/proc"]), Outcome::Refused(EACCES));
    assert_eq!(
        prisoner.tries(&["write", "/tmp/bulkhead-escape"]),
        Outcome::Refused(EACCES)
    );
    assert_eq!(prisoner.tries(&["run"]), Outcome::Refused(EACCES));
    assert_eq!(prisoner.tries(&["mount"]), Outcome::Refused(EPERM));
}

fn landlock_network() {
    let Some(prisoner) = only("landlock-network") else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_eq!(
        prisoner.tries(&["connect", &address]),
        Outcome::Refused(EACCES)
    );
}

fn landlock_scope() {
    let Some(prisoner) = only("landlock-scope") else {
        return;
    };
    assert_eq!(prisoner.tries(&["signal", &us()]), Outcome::Refused(EPERM));
}

fn seccomp() {
    let Some(prisoner) = only("seccomp") else {
        return;
    };
    assert_eq!(
        prisoner.tries(&["open", "/etc/passwd"]),
        Outcome::Refused(EACCES)
    );
    for attempt in [
        &["socket", "1"][..],
        &["signal", &us()],
        &["trace", &us()],
        &["mount"],
        &["run"],
        &["fork"],
        &["map", "5"],
    ] {
        assert_eq!(
            prisoner.tries(attempt),
            Outcome::Killed(SIGSYS),
            "{attempt:?}"
        );
    }
}
