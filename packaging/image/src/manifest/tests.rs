//! Manifests that are right, wrong in each way, and made to hurt.

use super::*;

fn digest(seed: u8) -> Sha256 {
    Sha256::of(&[seed])
}

fn example() -> Manifest {
    let file = |seed, size| FileEntry {
        size,
        sha256: digest(seed),
    };
    Manifest {
        architecture: Architecture::Riscv64,
        name: "debian-desktop".to_owned(),
        recipe: digest(9),
        arguments: "quiet initcall_blacklist=a,b".to_owned(),
        files: [file(1, 100), file(2, 200), file(3, 4096)],
        packages: vec![
            Package::new("bash", "5.2.37-2+b5").expect("valid"),
            Package::new("libstdc++6", "1:14.2.0-19~deb13u1").expect("valid"),
        ],
    }
}

fn parse(text: &str) -> Result<Manifest, ManifestProblem> {
    Manifest::parse(text.as_bytes())
}

#[test]
fn what_is_written_is_what_is_read() {
    let text = example().to_toml();
    let again = parse(&text).expect("canonical text parses");
    assert_eq!(again, example());
    assert_eq!(again.to_toml(), text);
    assert_eq!(again.total_size(), 4396);
    assert_eq!(again.file(FileName::Initramfs).size, 200);
}

#[test]
fn each_change_is_refused_with_its_reason() {
    let good = example().to_toml();
    let change = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        parse(&good.replacen(from, to, 1)).expect_err(to)
    };
    assert_eq!(
        change("format = 1", "format = 2"),
        ManifestProblem::OtherFormat(2)
    );
    assert_eq!(
        change("\"riscv64\"", "\"vax\""),
        ManifestProblem::OtherArchitecture("vax".to_owned())
    );
    for name in ["", "-x", "../x", "A", "a b", "ä", &"x".repeat(65)] {
        assert_eq!(
            change("\"debian-desktop\"", &format!("\"{name}\"")),
            ManifestProblem::BadName(excerpt(name))
        );
    }
    for arguments in [
        "a\\\"b",
        "a\\nb",
        "x bulkhead.zone=corp",
        "-- x",
        "ä",
        &"x".repeat(1025),
    ] {
        assert!(matches!(
            change("quiet initcall_blacklist=a,b", arguments),
            ManifestProblem::BadArguments(_)
        ));
    }
    for name in [
        "../kernel",
        "/etc/passwd",
        "kernel2",
        "manifest.toml",
        "KERNEL",
        "",
    ] {
        assert_eq!(
            change("\"kernel\"", &format!("\"{name}\"")),
            ManifestProblem::OtherFile(name.to_owned())
        );
    }
    assert_eq!(
        change("\"initramfs\"", "\"kernel\""),
        ManifestProblem::Duplicate("kernel".to_owned())
    );
    for size in ["0", "-1", "9223372036854775807", "268435457"] {
        assert!(matches!(
            change("size = 100", &format!("size = {size}")),
            ManifestProblem::BadSize { name: "kernel", .. }
        ));
    }
    assert!(matches!(
        change("size = 100", "size = 18446744073709551616"),
        ManifestProblem::Syntax { .. }
    ));
    assert!(matches!(
        change(&digest(2).to_string(), "00"),
        ManifestProblem::BadDigest(_)
    ));
    assert!(matches!(
        change("\"bash\"", "\"ba;sh\""),
        ManifestProblem::BadPackage { .. }
    ));
    assert!(matches!(
        change("5.2.37-2+b5", "5.2 37"),
        ManifestProblem::BadPackage { .. }
    ));
    assert_eq!(
        change("\"libstdc++6\"", "\"bash\""),
        ManifestProblem::Duplicate("bash".to_owned())
    );
}

#[test]
fn unknown_and_doubled_keys_are_refused_with_their_place() {
    let text = example().to_toml();
    let unknown = parse(&format!("{text}hooks = \"rm\"\n")).expect_err("unknown key");
    let lines = text.lines().count();
    assert!(
        matches!(&unknown, ManifestProblem::Syntax { line, message, .. }
            if *line == lines + 1 && message.contains("hooks")),
        "{unknown}"
    );
    assert!(matches!(
        parse(&format!("format = 1\n{text}")),
        Err(ManifestProblem::Syntax { line: 2, .. })
    ));
}

#[test]
fn a_missing_file_is_named() {
    let text = example().to_toml();
    let start = text.find("[[file]]\nname = \"root").expect("has it");
    let end = text.find("[[package]]").expect("has it");
    let without = format!("{}{}", &text[..start], &text[end..]);
    assert_eq!(
        parse(&without),
        Err(ManifestProblem::MissingFile("root.squashfs"))
    );
}

#[test]
fn bytes_made_to_hurt_are_refused() {
    assert_eq!(
        Manifest::parse(&vec![b' '; (1 << 20) + 1]),
        Err(ManifestProblem::TooLong)
    );
    assert_eq!(Manifest::parse(b"\xff"), Err(ManifestProblem::NotText));
    for bytes in [
        &b""[..],
        b"\0",
        b"\xef\xbb\xbf",
        "[".repeat(100_000).as_bytes(),
        format!("a = {}1{}", "[".repeat(50_000), "]".repeat(50_000)).as_bytes(),
        format!("{} = 1", vec!["a"; 50_000].join(".")).as_bytes(),
    ] {
        assert!(matches!(
            Manifest::parse(bytes),
            Err(ManifestProblem::Syntax { .. })
        ));
    }
}

#[test]
fn hostile_text_is_not_echoed_to_the_terminal() {
    let text = example()
        .to_toml()
        .replace("\"debian-desktop\"", "\"\\u001b[2J\\u202e\"");
    let shown = parse(&text).expect_err("bad name").to_string();
    assert!(shown.is_ascii() && !shown.contains('\x1b'), "{shown:?}");
}

#[test]
fn too_many_packages_are_refused() {
    let mut manifest = example();
    manifest.packages = (0..=PACKAGES_LIMIT)
        .map(|number| Package::new(&format!("p{number}"), "1").expect("valid"))
        .collect();
    assert_eq!(
        parse(&manifest.to_toml()),
        Err(ManifestProblem::TooManyPackages)
    );
}
