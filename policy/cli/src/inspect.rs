//! Commands that look into policies.

use std::path::{Path, PathBuf};

use bulkhead_policy::audit::Chain;
use bulkhead_policy::{
    Difference, Expectations, Kind, Party, Policy, Request, Severity, Simulation,
};
use serde_json::json;

use crate::output::{Failure, Outcome, decider, name, now, print, print_json, read, replace};
use crate::policy::FlowArguments;

pub(crate) fn check(files: &[PathBuf], strict: bool, json: bool) -> Result<Outcome, Failure> {
    let mut all = Vec::new();
    for file in files {
        let diagnostics = match Policy::parse(&name(file), &read(file)?) {
            Ok(policy) => bulkhead_policy::Decider::new(policy).lint(Some(now())),
            Err(errors) => errors.iter().cloned().collect(),
        };
        all.push((file, diagnostics));
    }
    let worst = all
        .iter()
        .flat_map(|(_, diagnostics)| diagnostics)
        .map(|diagnostic| diagnostic.severity)
        .max();
    let good = match worst {
        Some(Severity::Error) => false,
        Some(Severity::Warning) => !strict,
        _ => true,
    };
    if json {
        let files: Vec<_> = all
            .iter()
            .map(|(file, diagnostics)| json!({ "file": name(file), "diagnostics": diagnostics }))
            .collect();
        print_json(&json!({ "ok": good, "files": files }));
        return Ok(Outcome::good_if(good));
    }
    for (file, diagnostics) in &all {
        for diagnostic in diagnostics {
            print(&format!("{diagnostic}\n"));
        }
        let count = |severity| {
            diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.severity == severity)
                .count()
        };
        let told: Vec<String> = [
            (Severity::Error, "error", "errors"),
            (Severity::Warning, "warning", "warnings"),
            (Severity::Advice, "piece of advice", "pieces of advice"),
        ]
        .into_iter()
        .filter_map(|(severity, one, many)| match count(severity) {
            0 => None,
            1 => Some(format!("1 {one}")),
            number => Some(format!("{number} {many}")),
        })
        .collect();
        let told = if told.is_empty() {
            "in order".to_owned()
        } else {
            told.join(", ")
        };
        print(&format!("{}: {told}\n", file.display()));
    }
    Ok(Outcome::good_if(good))
}

pub(crate) fn fmt(files: &[PathBuf], check: bool, json: bool) -> Result<Outcome, Failure> {
    let mut changed = Vec::new();
    for file in files {
        let bytes = read(file)?;
        let text = bulkhead_policy::format(&name(file), &bytes).map_err(Failure::Mistakes)?;
        if file == Path::new("-") && !check {
            print(&text);
            continue;
        }
        if text.as_bytes() != bytes {
            if !check {
                replace(file, text.as_bytes())?;
            }
            changed.push(name(file));
        }
    }
    if json {
        print_json(&json!({ "ok": !check || changed.is_empty(), "changed": changed }));
    } else {
        for file in &changed {
            print(&format!(
                "{file}: {}\n",
                if check {
                    "would be laid out anew"
                } else {
                    "laid out anew"
                }
            ));
        }
    }
    Ok(Outcome::good_if(!check || changed.is_empty()))
}

fn kind(text: &str) -> Result<Kind, Failure> {
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    Kind::parse(text).ok_or_else(|| {
        Failure::Refused(format!(
            "{text:?} is no kind of flow; the kinds are {}",
            names.join(", ")
        ))
    })
}

fn party(policy: &Policy, text: &str) -> Result<Party, Failure> {
    let zones: Vec<&str> = policy.zones.iter().map(|zone| zone.name.as_str()).collect();
    let unknown = || {
        Failure::Refused(format!(
            "the policy has no zone {text:?}; its zones are {}, and there is \"host\"",
            zones.join(", ")
        ))
    };
    match Party::parse(text) {
        Ok(Party::Zone(name)) if policy.zone(name.as_str()).is_none() => Err(unknown()),
        Ok(party) => Ok(party),
        Err(_) => Err(unknown()),
    }
}

pub(crate) fn explain(file: &Path, flow: &FlowArguments, json: bool) -> Result<Outcome, Failure> {
    let decider = decider(file)?;
    let (from, to) = (
        party(decider.policy(), &flow.from)?,
        party(decider.policy(), &flow.to)?,
    );
    let request = Request::new(kind(&flow.kind)?, from, to).with(flow.facts()?);
    let explanation = decider.explain(&request);
    if json {
        print_json(&explanation.json());
    } else {
        print(&explanation.to_string());
    }
    Ok(Outcome::Good)
}

pub(crate) fn matrix(
    file: &Path,
    kinds: &[String],
    svg: Option<&Path>,
    html: Option<&Path>,
    json: bool,
) -> Result<Outcome, Failure> {
    let decider = decider(file)?;
    let kinds = kinds
        .iter()
        .map(|text| kind(text))
        .collect::<Result<Vec<Kind>, Failure>>()?;
    let matrix = decider.matrix(if kinds.is_empty() { &Kind::ALL } else { &kinds });
    if let Some(path) = svg {
        replace(path, matrix.svg().as_bytes())?;
    }
    if let Some(path) = html {
        replace(path, matrix.html(&decider).as_bytes())?;
    }
    if json {
        print_json(&matrix.json());
    } else if svg.is_none() && html.is_none() {
        print(&matrix.to_string());
    } else {
        for path in [svg, html].into_iter().flatten() {
            print(&format!("wrote {}\n", path.display()));
        }
    }
    Ok(Outcome::Good)
}

pub(crate) struct ReachFilter<'a> {
    pub(crate) from: Option<&'a str>,
    pub(crate) to: Option<&'a str>,
    pub(crate) outside: bool,
    pub(crate) down: bool,
}

pub(crate) fn reach(file: &Path, filter: &ReachFilter<'_>, json: bool) -> Result<Outcome, Failure> {
    let decider = decider(file)?;
    let from = filter
        .from
        .map(|text| party(decider.policy(), text))
        .transpose()?;
    let to = filter
        .to
        .map(|text| party(decider.policy(), text))
        .transpose()?;
    let level = |party: &Party| {
        decider
            .policy()
            .zone(party.as_str())
            .map_or(0, |zone| zone.level)
    };
    let reach = decider.reach(filter.outside).filtered(|path| {
        from.as_ref().is_none_or(|from| *from == path.from)
            && to.as_ref().is_none_or(|to| *to == path.to)
            && (!filter.down || level(&path.from) > level(&path.to))
    });
    if json {
        print_json(&reach.json());
    } else if reach.paths.is_empty() && (from.is_some() || to.is_some() || filter.down) {
        print("there is no such way\n");
    } else {
        print(&reach.to_string());
    }
    Ok(Outcome::Good)
}

pub(crate) fn diff(
    old: &Path,
    new: &Path,
    refuse_loosening: bool,
    json: bool,
) -> Result<Outcome, Failure> {
    let difference = Difference::between(&decider(old)?, &decider(new)?);
    if json {
        let mut value = json!(difference);
        if let Some(object) = value.as_object_mut() {
            object.insert("loosens".to_owned(), difference.loosens().into());
        }
        print_json(&value);
    } else {
        print(&difference.to_string());
    }
    Ok(Outcome::good_if(
        !(refuse_loosening && difference.loosens()),
    ))
}

pub(crate) fn simulate(file: &Path, log: &[PathBuf], json: bool) -> Result<Outcome, Failure> {
    let decider = decider(file)?;
    let mut simulation = Simulation::default();
    let mut skipped = 0;
    for (_, bytes) in crate::audit::files(log)? {
        let mut chain = Chain::default();
        for line in bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match chain.push(line) {
                Ok(record) => simulation.push(&decider, &record),
                Err(_) => skipped += 1,
            }
        }
    }
    if json {
        print_json(&json!({ "skipped": skipped, "simulation": simulation }));
    } else {
        print(&simulation.to_string());
        if skipped > 0 {
            print(&format!(
                "{skipped} lines are no records in order and were left out; see `bulkhead audit verify`\n"
            ));
        }
    }
    Ok(Outcome::Good)
}

/// The file of expectations that goes with a policy: policy.test.toml beside policy.toml.
pub(crate) fn beside(file: &Path) -> PathBuf {
    file.with_extension("test.toml")
}

pub(crate) fn test(file: &Path, expectations: &[PathBuf], json: bool) -> Result<Outcome, Failure> {
    let decider = decider(file)?;
    let beside = [beside(file)];
    let files = if expectations.is_empty() {
        &beside
    } else {
        expectations
    };
    let mut good = true;
    let mut reports = Vec::new();
    for path in files {
        let report = Expectations::parse(&name(path), &read(path)?)
            .map_err(Failure::Mistakes)?
            .test(&decider);
        good &= report.failed.is_empty();
        if json {
            reports.push(json!({ "file": name(path), "report": report }));
        } else {
            print(&format!("{report}"));
        }
    }
    if json {
        print_json(&json!({ "ok": good, "tests": reports }));
    }
    Ok(Outcome::good_if(good))
}
