//! What became of each layer.

use std::fmt;

use crate::layer::{Layer, Layers};

/// Which layers are in force, and why the others are not.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    in_force: Vec<Layer>,
    missing: Vec<(Layer, String)>,
}

impl Report {
    /// Layers in force.
    #[must_use]
    pub fn in_force(&self) -> &[Layer] {
        &self.in_force
    }

    /// Layers that are not in force, each with the reason.
    #[must_use]
    pub fn missing(&self) -> &[(Layer, String)] {
        &self.missing
    }

    /// True when `layer` is in force.
    #[must_use]
    pub fn has(&self, layer: Layer) -> bool {
        self.in_force.contains(&layer)
    }

    pub(crate) fn note<E: fmt::Display>(&mut self, layer: Layer, outcome: Result<(), E>) {
        match outcome {
            Ok(()) => self.in_force.push(layer),
            Err(reason) => self.missing.push((layer, reason.to_string())),
        }
    }

    /// One line per layer: its name, and after a tab why it is missing.
    pub(crate) fn to_lines(&self) -> String {
        let mut lines: String = self
            .in_force
            .iter()
            .map(|layer| format!("{layer}\n"))
            .collect();
        for (layer, reason) in &self.missing {
            lines.push_str(&format!("{layer}\t{}\n", reason.replace('\n', " ")));
        }
        lines
    }

    /// Reads [`Report::to_lines`] back; None when it says nothing or something else.
    pub(crate) fn from_lines(lines: &str) -> Option<Self> {
        let mut report = Self::default();
        for line in lines.lines() {
            match line.split_once('\t') {
                Some((layer, reason)) => report
                    .missing
                    .push((layer.parse().ok()?, reason.to_owned())),
                None => report.in_force.push(line.parse().ok()?),
            }
        }
        (!lines.is_empty()).then_some(report)
    }

    /// The first required layer that is missing. A layer that was never noted counts as missing.
    pub(crate) fn lacks(&self, required: &Layers) -> Option<(Layer, String)> {
        let absent = required.iter().find(|layer| !self.has(*layer))?;
        let reason = self.missing.iter().find(|(layer, _)| *layer == absent);
        Some((
            absent,
            reason.map_or_else(
                || "it was not tried".to_owned(),
                |(_, reason)| reason.clone(),
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_their_lines() {
        let mut report = Report::default();
        report.note::<String>(Layer::Seccomp, Ok(()));
        report.note(Layer::Landlock, Err("this kernel has no Landlock"));
        assert_eq!(Report::from_lines(&report.to_lines()), Some(report));
        assert_eq!(Report::from_lines(""), None);
        assert_eq!(Report::from_lines("no-such-layer\n"), None);
    }
}
