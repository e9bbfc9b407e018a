use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use accesskit::{Node, NodeId, Role, TreeId, TreeInfo};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn told(name: &str) -> Told {
    let mut node = Node::new(Role::Window);
    node.set_label(name);
    Told {
        has_keyboard: true,
        place: Rect::new(0.0, 0.0, 10.0, 10.0),
        tree: TreeUpdate {
            nodes: vec![(NodeId(1), node)],
            tree: Some(TreeInfo::new(NodeId(1))),
            tree_id: TreeId::ROOT,
            focus: NodeId(1),
        },
    }
}

/// A bridge that is a shell script.
struct Scripted {
    bridge: Bridge,
    place: PathBuf,
    woken: mpsc::Receiver<()>,
}

/// A program that is started while another thread's file is open for writing would hold it open, too, and a file that is
/// open for writing is not run.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

impl Scripted {
    fn start(name: &str, script: &str) -> Self {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let place = std::env::temp_dir().join(format!("bridge-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        let program = place.join("bridge");
        let text = format!("#!/bin/sh\ncd {}\n{script}\n", place.display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
        let (wake, woken) = mpsc::channel();
        let bridge = Bridge::start(&program, move || {
            let _ = wake.send(());
        })
        .unwrap();
        Self {
            bridge,
            place,
            woken,
        }
    }

    fn lines(&self) -> Vec<Told> {
        let Ok(file) = std::fs::File::open(self.place.join("heard")) else {
            return Vec::new();
        };
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        lines
            .filter_map(|line| serde_json::from_str(&line).ok())
            .collect()
    }

    fn wait_for(&self, mut met: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !met(self) {
            assert!(Instant::now() < end, "in vain; heard {:?}", self.lines());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

#[test]
fn a_listener_hears_each_state_once_and_without_one_nothing_is_said() {
    let alone = Scripted::start("alone", "exec cat > heard");
    alone.bridge.tell(told("to nobody"));
    alone.wait_for(|alone| alone.place.join("heard").exists());
    std::thread::sleep(Duration::from_millis(200));
    assert!(!alone.bridge.is_listened_to());
    assert_eq!(std::fs::read(alone.place.join("heard")).unwrap(), b"");

    let scripted = Scripted::start("once", "printf +; exec cat > heard");
    scripted.woken.recv_timeout(PATIENCE).unwrap();
    for name in ["one", "one", "two"] {
        scripted.bridge.tell(told(name));
        scripted.wait_for(|scripted| scripted.lines().last() == Some(&told(name)));
    }
    assert_eq!(scripted.lines(), [told("one"), told("two")]);
}

#[test]
fn who_begins_to_listen_again_is_told_again() {
    let script = "printf +; head -n 1 > heard; printf -; printf +; exec cat >> heard";
    let scripted = Scripted::start("twice", script);
    scripted.woken.recv_timeout(PATIENCE).unwrap();
    scripted.bridge.tell(told("same"));
    scripted.woken.recv_timeout(PATIENCE).unwrap();
    scripted.bridge.tell(told("same"));
    scripted.wait_for(|scripted| scripted.lines() == [told("same"), told("same")]);
}

#[test]
fn a_bridge_that_hears_nothing_holds_nobody_up_and_one_that_is_gone_is_no_listener() {
    let scripted = Scripted::start("stuck", "printf +; read go < /dev/null; exec sleep 60");
    scripted.woken.recv_timeout(PATIENCE).unwrap();
    let long = "x".repeat(100_000);
    let began = Instant::now();
    for count in 0..200 {
        scripted.bridge.tell(told(&format!("{count}{long}")));
    }
    assert!(began.elapsed() < PATIENCE);
    drop(scripted);

    let script = "[ -e once ] && exit 3; touch once; printf +; exit 3";
    let gone = Scripted::start("gone", script);
    gone.woken.recv_timeout(PATIENCE).unwrap();
    gone.wait_for(|gone| !gone.bridge.is_listened_to());
    gone.bridge.tell(told("nobody"));
    let missing = Bridge::start(Path::new("/nonexistent/bridge"), || {});
    assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn whatever_else_the_bridge_says_is_nothing() {
    let script = "printf 'Allow, press No'; printf +; exec cat > heard";
    let scripted = Scripted::start("chatter", script);
    scripted.wait_for(|scripted| scripted.bridge.is_listened_to());
    scripted.bridge.tell(told("plain"));
    scripted.wait_for(|scripted| scripted.lines() == [told("plain")]);
}

#[test]
fn a_bridge_that_crashed_is_started_again_and_told_what_there_is() {
    let script =
        "printf +; [ -e once ] && exec cat > heard; touch once; head -n 1 > lost; kill -SEGV $$";
    let scripted = Scripted::start("crash", script);
    scripted.woken.recv_timeout(PATIENCE).unwrap();
    scripted.bridge.tell(told("before"));
    scripted.woken.recv_timeout(PATIENCE).unwrap();
    scripted.bridge.tell(told("after"));
    scripted.wait_for(|scripted| scripted.lines() == [told("after")]);
}

#[test]
fn a_bridge_that_waits_to_be_started_again_ends_with_the_desktop() {
    let scripted = Scripted::start("ends", "echo x >> starts; exit 1");
    let starts = |place: &Path| std::fs::read_to_string(place.join("starts")).unwrap_or_default();
    // The third pause is the first that is long enough to be met.
    scripted.wait_for(|scripted| starts(&scripted.place).lines().count() == 3);
    let shared = Arc::clone(&scripted.bridge.shared);
    drop(scripted);
    let end = Instant::now() + PATIENCE;
    while Arc::strong_count(&shared) > 1 {
        assert!(Instant::now() < end, "its threads go on");
        std::thread::sleep(Duration::from_millis(10));
    }
}
