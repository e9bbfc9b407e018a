//! The clipboard across two stock Debian guests, by their stock agents: it crosses when the policy of the moment allows it and a person
//! has pressed the chord, and not otherwise. The policy changes under the running desktop.

use e2e::Desktop;

/// Fills the terminal with one word.
const WORD: &str = "type clear; for i in $(seq 200); do printf ZONESECRET; done; echo\nkey Return\nwait-still open 3";
/// A shell function that reads a line and says on the console how long it is and how it begins. Typed once, before the guest is busy.
const READER: &str = "type p() { clear; read -r c; echo got-${#c}-${c:0:10}-end >/dev/hvc0; }\nkey Return\nwait-still corp 2";
/// The chord, then a paste into that function.
const BRING_AND_PASTE: &str = "key super+v\nsleep 2\ntype p\nkey Return\nwait-still corp 2\nkey shift+insert\nwait-still corp 2\nkey Return";

/// The same into an editor, by GTK's clipboard; what it saved is told. It copies what it pastes.
const EDITOR: &str = "type l3afpad edited.txt\nkey Return\nwait-still corp 6\nkey super+v\nsleep 2\nkey ctrl+v\nwait-still corp 3\n\
     key ctrl+s\nwait-still corp 3\nkey ctrl+q\nwait-still corp 3\ntype echo edited-$(wc -c <edited.txt)-end >/dev/hvc0\nkey Return";

fn rule(verdict: &str) -> String {
    format!(
        "[[flow]]\nname = \"clips\"\nkind = \"clipboard\"\nfrom = \"open\"\nto = \"corp\"\nverdict = \"{verdict}\"\n"
    )
}

#[test]
fn a_clip_crosses_by_the_policy_of_the_moment() {
    let size = (1600, 900);
    let zones = ["open", "corp"];
    // Where the windows are: they are there before their guests are.
    let empty = Desktop::new(size, &zones);
    let layout = empty.play("sleep 0.5\nscreenshot layout.png\nkill open\nkill corp\nquit\n");
    let terminal = layout.succeeded().picture("layout.png").client_area(0);
    let (x, y) = (terminal.x + 160, terminal.y + 180);

    let desktop = Desktop::new(size, &zones).with_rules(&rule("deny"));
    let script = format!(
        "wait-ready open\nwait-ready corp\nwait-agent open\nwait-agent corp\n\
         focus open\n{WORD}\nclick {x} {y}\nclick {x} {y}\nsleep 2\nfocus corp\n{READER}\n\
         {BRING_AND_PASTE}\nwait-console corp got-0--end timeout 60\nscreenshot denied.png\n\
         wait-policy 2 timeout 60\n\
         {BRING_AND_PASTE}\nwait-console corp got-2000-ZONESECRET-end timeout 60\nscreenshot allowed.png\n\
         {BRING_AND_PASTE}\nwait-console corp got-2000-ZONESECRET-end timeout 60\n\
         key shift+insert\nsleep 1\nkey Return\n\
         {EDITOR}\nwait-console corp edited-2000-end timeout 60\nscreenshot again.png\n\
         wait-policy 3 timeout 60\n\
         focus open\nclick {x} {y}\nclick {x} {y}\nsleep 2\nfocus corp\n{BRING_AND_PASTE}\nwait-console corp got-0--end timeout 60\nquit\n"
    );
    let running = desktop.wait_for("denied.png", desktop.start(&script));
    desktop.replace_policy(2, &rule("allow"));
    let running = desktop.wait_for("again.png", running);
    desktop.replace_policy(3, &rule("deny"));
    desktop.finish(running).succeeded();
    // What crossed is in the log by its size and hash; what it was is nowhere.
    let log = std::fs::read_to_string(desktop.file("state/audit/audit-00000001.log")).unwrap();
    assert_eq!(log.matches("\"crossed\":2000").count(), 3, "{log}");
    assert_eq!(log.matches("\"verdict\":\"deny\"").count(), 2, "{log}");
    assert!(!log.contains("ZONESECRET"));
}
