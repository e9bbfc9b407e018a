//! Entry points for fuzzing: one for each thing that is read from bytes nobody vouches for. None may panic, and each
//! checks what must hold of whatever was read.

use crate::audit::{Chain, Record, verify};
use crate::decide::Decider;
use crate::policy::Policy;
use crate::signature::{SignatureFile, TrustStore};
use crate::values::Timestamp;

/// A policy file: whatever reads as one can be decided by, shown, and laid out without a change of meaning.
pub fn policy_text(data: &[u8]) {
    let policy = match Policy::parse("fuzz.toml", data) {
        Ok(policy) => policy,
        Err(errors) => {
            let shown = errors.to_string();
            assert!(errors.count() > 0);
            assert!(
                !shown.contains('\u{1b}'),
                "a file's escapes reach no terminal"
            );
            return;
        }
    };
    if let Ok(text) = crate::format::format("fuzz.toml", data) {
        let again = Policy::parse("fuzz.toml", text.as_bytes());
        assert!(
            again.is_ok_and(|again| again.settings() == policy.settings()
                && again.rules.len() == policy.rules.len())
        );
    }
    if policy.zones.len() > 12 || policy.rules.len() > 40 {
        return;
    }
    let decider = Decider::new(policy);
    let _ = decider.lint(Some(Timestamp(1_772_409_600)));
    let matrix = decider.matrix(&crate::rule::Kind::ALL);
    for cell in &matrix.cells {
        let request = crate::request::Request::new(cell.kind, cell.from.clone(), cell.to.clone());
        let decision = decider.decide(&request);
        assert!((cell.worst..=cell.best).contains(&decision.verdict));
        let _ = decider.explain(&request).to_string();
    }
    let _ = decider.reach(true).to_string();
}

/// A signature file and a trust store: whatever reads as a signature file is written as it was read, and verifies nothing.
pub fn signature_file(data: &[u8]) {
    if let Ok(file) = SignatureFile::parse(data) {
        assert_eq!(file.to_text().as_bytes(), data);
        let trust = TrustStore {
            threshold: 1,
            keys: Vec::new(),
        };
        assert!(file.verify(b"policy", &trust).is_err());
    }
    let _ = TrustStore::parse("fuzz.toml", data);
}

/// Lines of an audit log: whatever reads as a record is shown without control characters, and goes back to a line that
/// reads the same.
pub fn audit_lines(data: &[u8]) {
    let mut chain = Chain::default();
    for line in data.split(|byte| *byte == b'\n') {
        let record = match chain.push(line) {
            Ok(record) => record,
            Err(refused) => match refused.1 {
                Some(record) => record,
                None => continue,
            },
        };
        assert!(!record.to_string().chars().any(char::is_control));
        let written = record.to_line();
        assert!(!written.chars().any(char::is_control));
        if written.len() <= crate::audit::LINE_LENGTH {
            assert_eq!(Record::from_line(written.as_bytes()).ok(), Some(record));
        }
    }
    let report = verify([("fuzz".to_owned(), data)], None, None);
    assert!(report.records > 0 || !report.findings.is_empty());
}
