//! Every example of the handbook and every worked example is read, and says what it should.

use std::path::PathBuf;

use bulkhead_policy::{Decider, Expectations, Policy, Severity, Timestamp, TrustStore, all_keys};

const HANDBOOK: &str = include_str!("../../docs/policy.md");

fn examples() -> Vec<&'static str> {
    let blocks = HANDBOOK.split("```toml\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

#[test]
fn every_example_of_the_handbook_is_read() {
    let examples = examples();
    assert!(examples.len() >= 8);
    for example in examples {
        let name = "docs/policy.md";
        let result = match example.lines().next().unwrap() {
            "# expectations" => Expectations::parse(name, example.as_bytes()).map(|_| ()),
            "# trust" => TrustStore::parse(name, example.as_bytes()).map(|_| ()),
            _ => {
                // An example about one section need not have zones; it is read together with one.
                let whole = if example.contains("[zone.") {
                    example.to_owned()
                } else {
                    format!("{example}\n[zone.x]\ncolour = \"#000000\"\nimage = \"x\"\n")
                };
                Policy::parse(name, whole.as_bytes()).map(|_| ())
            }
        };
        if let Err(errors) = result {
            panic!("{errors}\n{example}");
        }
        assert_eq!(
            bulkhead_policy::format("docs/policy.md", example.as_bytes()).unwrap(),
            *example,
            "an example is laid out as fmt lays it out"
        );
    }
}

#[test]
fn the_handbook_explains_and_shows_every_key() {
    let shown = examples().join("\n");
    for path in all_keys() {
        let key = path
            .rsplit('.')
            .next()
            .unwrap()
            .trim_start_matches("flow[]");
        assert!(
            HANDBOOK.contains(&format!("`{key}`")) || HANDBOOK.contains(&format!(".{key}`")),
            "the handbook does not explain {path}"
        );
        assert!(
            shown.contains(&format!("{key} = ")) || shown.contains(&format!("{key}]")),
            "no example shows {path}"
        );
    }
}

#[test]
fn the_schema_has_every_key() {
    let schema = bulkhead_policy::schema().to_string();
    for path in all_keys() {
        let key = path.rsplit('.').next().unwrap();
        assert!(schema.contains(&format!("\"{key}\":{{")), "{path}");
    }
}

fn policies() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/policies");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| !path.to_string_lossy().ends_with(".test.toml"));
    paths.sort();
    paths
}

#[test]
fn every_worked_example_meets_its_expectations_without_a_warning() {
    let paths = policies();
    assert_eq!(paths.len(), 4);
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let decider =
            Decider::new(Policy::parse(&name, &bytes).unwrap_or_else(|errors| panic!("{errors}")));
        let warnings: Vec<String> = decider
            .lint(Timestamp::parse("2026-06-01T00:00:00Z"))
            .iter()
            .filter(|warning| warning.severity > Severity::Advice)
            .map(ToString::to_string)
            .collect();
        assert!(warnings.is_empty(), "{}", warnings.join("\n"));
        let tests = path.with_extension("test.toml");
        let report = Expectations::parse("test", &std::fs::read(&tests).unwrap())
            .unwrap_or_else(|errors| panic!("{errors}"))
            .test(&decider);
        assert!(
            report.failed.is_empty() && report.passed > 4,
            "{name}: {report}"
        );
        for file in [path, tests] {
            let text = std::fs::read_to_string(&file).unwrap();
            assert_eq!(
                bulkhead_policy::format("x", text.as_bytes()).unwrap(),
                text,
                "{}",
                file.display()
            );
        }
    }
}

#[test]
fn an_example_with_one_change_fails_its_expectations() {
    for path in policies() {
        let text = std::fs::read_to_string(&path).unwrap();
        let open = text
            .replacen("verdict = \"ask\"", "verdict = \"allow\"", 20)
            .replace("sensitive = true", "sensitive = false");
        let grantless: String = open
            .lines()
            .map(|line| {
                if line.contains("grants = ") {
                    String::new()
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
        let rule = "\n[[flow]]\nname = \"a hole\"\nkind = [\"clipboard\", \"file\"]\nfrom = \"any\"\nto = \"any\"\nverdict = \"allow\"\n";
        let policy = Policy::parse("changed", format!("{grantless}{rule}").as_bytes())
            .unwrap_or_else(|errors| panic!("{errors}"));
        let tests = std::fs::read(path.with_extension("test.toml")).unwrap();
        let report = Expectations::parse("test", &tests)
            .unwrap()
            .test(&Decider::new(policy));
        assert!(!report.failed.is_empty(), "{}", path.display());
    }
}
