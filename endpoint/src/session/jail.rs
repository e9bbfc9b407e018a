//! What a policy requires of a zone's jail, in the jail's own words, and how much a report falls short.
//!
//! A policy names groups of layers, because people decide about groups; the jail reports single layers.

use bulkhead_policy::JailLayer;
use zone_jail::{Layer, Layers};
use zone_link::{Hello, LayerName};

use crate::words::Lack;

/// The layers of a group. `user-namespace`, `landlock-network` and `landlock-scope` are in none: the first is a means to the other
/// namespaces, and the last two are doubled by the network namespace and the system call list.
fn members(group: JailLayer) -> &'static [Layer] {
    match group {
        JailLayer::User => &[Layer::UnprivilegedUser, Layer::NoCapabilities],
        JailLayer::Namespaces => &[
            Layer::MountNamespace,
            Layer::PidNamespace,
            Layer::NetworkNamespace,
            Layer::IpcNamespace,
            Layer::UtsNamespace,
            Layer::CgroupNamespace,
        ],
        JailLayer::Root => &[Layer::EmptyRoot],
        JailLayer::Seccomp => &[Layer::Seccomp],
        JailLayer::Landlock => &[Layer::Landlock],
        JailLayer::NoNewPrivileges => &[Layer::NoNewPrivileges],
        JailLayer::Rlimits => &[Layer::ResourceLimits, Layer::ClosedDescriptors],
    }
}

/// The layers without which no zone of a policy starts.
#[must_use]
pub fn required_layers(groups: &[JailLayer]) -> Layers {
    groups
        .iter()
        .flat_map(|group| members(*group))
        .copied()
        .collect()
}

/// How a zone's report compares with what should be there.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Verdict {
    /// Required and missing, each with the reason: the zone must not start.
    pub(super) refused: Vec<Lack>,
    /// Missing from a group, but not required: the panel shows a weakened jail.
    pub(super) weakened: Vec<Lack>,
}

pub(super) fn judge(hello: &Hello, required: &Layers) -> Verdict {
    let has = |layer: Layer| {
        hello
            .in_force
            .iter()
            .map(LayerName::as_str)
            .any(|name| name == layer.name())
    };
    let mut verdict = Verdict::default();
    for layer in required_layers(&JailLayer::ALL)
        .iter()
        .filter(|layer| !has(*layer))
    {
        let reported = hello
            .missing
            .iter()
            .find(|missing| missing.layer.as_str() == layer.name());
        let lack = Lack {
            layer: layer.to_string(),
            reason: reported.map(|missing| missing.reason.as_str().to_owned()),
        };
        let list = if required.contains(layer) {
            &mut verdict.refused
        } else {
            &mut verdict.weakened
        };
        list.push(lack);
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Remark;
    use zone_link::{MissingLayer, Text};

    fn told(lacks: Vec<Lack>) -> String {
        Remark::Lacks(lacks).to_string()
    }

    fn hello(missing: &[Layer]) -> Hello {
        let name = |layer: Layer| LayerName::new(layer.name()).unwrap();
        Hello {
            in_force: Layer::ALL
                .into_iter()
                .filter(|layer| !missing.contains(layer))
                .map(name)
                .collect(),
            missing: missing
                .iter()
                .map(|layer| MissingLayer {
                    layer: name(*layer),
                    reason: Text::lossy("no"),
                })
                .collect(),
        }
    }

    #[test]
    fn missing_layers_refuse_where_required_and_weaken_elsewhere() {
        let required = required_layers(&[JailLayer::Seccomp, JailLayer::User]);
        assert_eq!(judge(&hello(&[]), &required), Verdict::default());
        let verdict = judge(&hello(&[Layer::Seccomp, Layer::EmptyRoot]), &required);
        assert_eq!(told(verdict.refused), "seccomp (no)");
        assert_eq!(told(verdict.weakened), "empty-root (no)");
        let doubled = judge(
            &hello(&[
                Layer::LandlockNetwork,
                Layer::LandlockScope,
                Layer::UserNamespace,
            ]),
            &required,
        );
        assert_eq!(doubled, Verdict::default());
    }

    #[test]
    fn a_layer_that_is_not_reported_at_all_is_missing() {
        let verdict = judge(&Hello::default(), &required_layers(&[JailLayer::Landlock]));
        assert_eq!(
            told(verdict.refused),
            "landlock (the zone process did not report it)"
        );
    }
}
