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
