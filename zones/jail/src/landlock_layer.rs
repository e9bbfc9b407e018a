//! Landlock: every right that the kernel knows is handled and none is granted, so nothing can be opened, bound or reached any more.
//! Descriptors that are already open, or that arrive later over the link, keep working.

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetError, RulesetStatus, Scope,
};

use crate::layer::Layer;
use crate::report::Report;

/// The newest interface that this code was tried on. Older kernels give what they have.
const NEWEST: ABI = ABI::V7;

pub(crate) fn apply(wanted: impl Fn(Layer) -> bool, report: &mut Report) {
    let layers = [
        (Layer::Landlock, ABI::V1),
        (Layer::LandlockNetwork, ABI::V4),
        (Layer::LandlockScope, ABI::V6),
    ];
    let outcome = restrict(&wanted);
    for (layer, since) in layers {
        if wanted(layer) {
            report.note(layer, judge(&outcome, since));
        }
    }
}

fn restrict(wanted: &impl Fn(Layer) -> bool) -> Result<RestrictionStatus, RulesetError> {
    let mut rules = Ruleset::default();
    if wanted(Layer::Landlock) {
        rules = rules.handle_access(AccessFs::from_all(NEWEST))?;
    }
    if wanted(Layer::LandlockNetwork) {
        rules = rules.handle_access(AccessNet::from_all(NEWEST))?;
    }
    if wanted(Layer::LandlockScope) {
        rules = rules.scope(Scope::from_all(NEWEST))?;
    }
    rules.create()?.restrict_self()
}

fn judge(outcome: &Result<RestrictionStatus, RulesetError>, since: ABI) -> Result<(), String> {
    let status = outcome.as_ref().map_err(ToString::to_string)?;
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if effective_abi >= since => {
            match status.ruleset {
                RulesetStatus::NotEnforced => Err("the kernel did not enforce it".to_owned()),
                _ => Ok(()),
            }
        }
        LandlockStatus::Available { effective_abi, .. } => {
            let (needed, found) = (since as i32, effective_abi as i32);
            Err(format!(
                "needs Landlock interface {needed}, this kernel has {found}"
            ))
        }
        LandlockStatus::NotEnabled => {
            Err("Landlock is built into this kernel but not enabled at boot".to_owned())
        }
        _ => Err("this kernel has no Landlock".to_owned()),
    }
}
