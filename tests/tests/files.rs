//! A file across two stock Debian guests: one offers it with the image's own tool, the other's stock agent writes it. It crosses when
//! the policy of the moment allows it and a person has pressed the chord.

use e2e::Desktop;

/// A file of this size, which a guest can make anew to compare it with.
const MAKE: &str = "seq 150000";
const SIZE: &str = "938895";

fn rule(verdict: &str) -> String {
    format!(
        "[[flow]]\nname = \"files\"\nkind = \"file\"\nfrom = \"open\"\nto = \"corp\"\nverdict = \"{verdict}\"\n"
    )
}

#[test]
fn a_file_crosses_by_the_policy_of_the_moment() {
    let desktop = Desktop::new((1600, 900), &["open", "corp"]).with_rules(&rule("deny"));
    let script = format!(
        "wait-ready open\nwait-ready corp\nwait-agent open\nwait-agent corp\n\
         focus open\ntype {MAKE} >note.txt; bulkhead-send note.txt; echo sent-$? | tee /dev/hvc0\nkey Return\n\
         wait-still open 4\nscreenshot offered.png\n\
         focus corp\nkey super+v\nsleep 2\n\
         type echo got-$(ls Downloads | wc -l)-files | tee /dev/hvc0\nkey Return\nwait-console corp got-0-files timeout 60\n\
         screenshot denied.png\nwait-policy 2 timeout 60\n\
         key super+v\nwait-console open sent-0 timeout 120\n\
         type {MAKE} | cmp - Downloads/note.txt; echo differs-$? | tee /dev/hvc0\nkey Return\n\
         wait-console corp differs-0 timeout 60\nscreenshot taken.png\nquit\n"
    );
    let running = desktop.wait_for("denied.png", desktop.start(&script));
    desktop.replace_policy(2, &rule("allow"));
    desktop.finish(running).succeeded();
    let log = std::fs::read_to_string(desktop.file("state/audit/audit-00000001.log")).unwrap();
    let crossed = format!("\"crossed\":{SIZE}");
    assert_eq!(log.matches(&crossed).count(), 1, "{log}");
    assert_eq!(log.matches("\"verdict\":\"deny\"").count(), 1, "{log}");
}
