//! What the reader takes and what it refuses, from outside: through [`Policy::parse`] alone.

use bulkhead_policy::{JailLayer, Persistence, Policy, Verdict};

const GOOD: &str = r##"
[zone.open]
colour = "#c62828"
shape = "triangle"
image = "debian-desktop"

[zone.corp]
display-name = "Corporate"
level = 2
colour = "#1565c0"
image = "debian-desktop"
memory = "1 GiB"
persistence = "persistent"
autostart = true

[[flow]]
kind = "clipboard"
from = "corp"
to = "open"
verdict = "ask"
when = { mime = "text/plain", max-bytes = "64 KiB" }
"##;

fn codes(text: &[u8]) -> Vec<(&'static str, usize, usize)> {
    let errors = Policy::parse("test.toml", text).expect_err("the file has mistakes");
    errors
        .iter()
        .map(|error| (error.code, error.location.line, error.location.column))
        .collect()
}

#[test]
fn a_small_policy_is_read_with_its_defaults() {
    let policy = Policy::parse("test.toml", GOOD.as_bytes()).unwrap();
    let names: Vec<&str> = policy.zones.iter().map(|zone| zone.name.as_str()).collect();
    assert_eq!(
        names,
        ["open", "corp"],
        "in the order of the file, not of the alphabet"
    );
    let (open, corp) = (policy.zone("open").unwrap(), policy.zone("corp").unwrap());
    assert_eq!(
        (open.memory_mib, open.cpus, open.autostart, open.persistence),
        (512, 2, false, Persistence::Disposable)
    );
    assert_eq!(
        (
            corp.memory_mib,
            corp.level,
            corp.autostart,
            corp.persistence
        ),
        (1024, 2, true, Persistence::Persistent)
    );
    assert_eq!(
        (open.display_name.as_str(), open.short_name.as_str()),
        ("open", "OPEN")
    );
    assert_eq!(
        (
            policy.rules.len(),
            policy.rules[0].verdict,
            policy.rules[0].line
        ),
        (1, Verdict::Ask, 16)
    );
    assert_eq!(policy.jail.required, JailLayer::ALL);
}

#[test]
fn every_mistake_of_a_file_is_told_at_once_with_its_place() {
    let text = GOOD
        .replace("colour = \"#c62828\"", "color = \"#c62828\"")
        .replace("to = \"open\"", "to = \"opne\"")
        .replace("\"1 GiB\"", "1024")
        .replace("\"ask\"", "\"maybe\"");
    let expected = [
        ("unknown-key", 3, 1),
        ("wrong-type", 12, 10),
        ("unknown-zone", 19, 6),
        ("bad-value", 20, 11),
    ];
    assert_eq!(codes(text.as_bytes()), expected);
}

#[test]
fn files_that_are_no_text_are_refused_before_they_are_looked_into() {
    assert_eq!(codes(b"\xef\xbb\xbf[zone.a]")[0].0, "byte-order-mark");
    assert_eq!(codes(b"a = 1\nb = \"\xff\"")[0], ("not-utf8", 2, 6));
    assert_eq!(codes(&vec![b' '; (4 << 20) + 1])[0].0, "too-large");
    assert_eq!(codes("x = [".repeat(10_000).as_bytes())[0].0, "too-deep");
    assert_eq!(
        codes(format!("x = {}", "[".repeat(1_000_000)).as_bytes())[0].0,
        "too-deep"
    );
    assert_eq!(codes(b"")[0].0, "no-zones");
    assert_eq!(codes(b"[zone.a\ncolour=")[0].0, "syntax");
}

#[test]
fn windows_line_ends_are_read_and_counted() {
    let text = GOOD.replace('\n', "\r\n");
    assert!(Policy::parse("test.toml", text.as_bytes()).is_ok());
    assert_eq!(
        codes(text.replace("level = 2", "level = 900").as_bytes()),
        [("out-of-bounds", 9, 9)]
    );
}

#[test]
fn zones_that_could_be_mistaken_for_one_another_are_refused() {
    let zone = |name: &str, more: &str| {
        format!("[zone.{name}]\ncolour = \"#123456\"\nimage = \"x\"\n{more}\n")
    };
    for (first, second) in [
        ("corp", "c0rp"),
        ("modern", "modem"),
        ("office-1", "officel"),
    ] {
        let text = zone(first, "short-name = \"A\"") + &zone(second, "short-name = \"B\"");
        assert_eq!(
            codes(text.as_bytes())[0].0,
            "look-alike",
            "{first} {second}"
        );
    }
    let text = zone("one", "display-name = \"Bank\"") + &zone("two", "display-name = \"Ваnк\"");
    assert_eq!(
        codes(text.as_bytes())[0].0,
        "bad-value",
        "two scripts in one word"
    );
    let text = zone("one", "display-name = \"BAHK\"") + &zone("two", "display-name = \"ВАНК\"");
    assert_eq!(
        codes(text.as_bytes())[0].0,
        "look-alike",
        "one word in two scripts"
    );
    let text = zone("one", "") + &zone("one", "");
    assert_eq!(codes(text.as_bytes())[0].0, "duplicate");
    let text = zone("\"c\u{43e}rp\"", "");
    assert_eq!(codes(text.as_bytes())[0].0, "bad-name");
}

#[test]
fn a_flood_of_mistakes_is_told_in_part() {
    let text = (0..10_000)
        .map(|number| format!("key{number} = 1\n"))
        .collect::<String>();
    assert_eq!(codes(text.as_bytes()).len(), 200);
}
