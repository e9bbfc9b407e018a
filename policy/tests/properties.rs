//! What must hold of every policy and every request.

mod support;

use bulkhead_policy::{CARRYING, Decider, Kind, Party, Policy, Request, Verdict};
use proptest::prelude::*;
use support::{all_parties, flow, plan, request};

fn requests() -> impl Strategy<Value = Vec<Request>> {
    proptest::collection::vec(request(), 24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_deny_more_never_lets_more_through(plan in plan(), more in flow(&["deny"]), requests in requests()) {
        let before = plan.decider();
        let mut stricter = plan.clone();
        stricter.flows.push(more);
        let after = stricter.decider();
        for request in &requests {
            // A redirect decides elsewhere: that too may only become stricter.
            prop_assert!(after.decide(request).verdict <= before.decide(request).verdict, "{request}\n{}", stricter.text());
        }
    }

    #[test]
    fn the_order_of_the_rules_never_matters(plan in plan(), requests in requests(), seed in any::<u64>()) {
        let before = plan.decider();
        let mut shuffled = plan.clone();
        let mut state = seed;
        for index in (1..shuffled.flows.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.flows.swap(index, (state >> 33) as usize % (index + 1));
        }
        let after = shuffled.decider();
        for request in &requests {
            let (first, second) = (before.decide(request), after.decide(request));
            prop_assert_eq!((first.verdict, first.reason, first.duties, first.target), (second.verdict, second.reason, second.duties, second.target), "{}", request);
        }
    }

    #[test]
    fn an_ask_more_never_turns_into_an_allow(plan in plan(), more in flow(&["ask"]), requests in requests()) {
        let before = plan.decider();
        let mut other = plan.clone();
        other.flows.push(more);
        let after = other.decider();
        for request in &requests {
            let (was, is) = (before.decide(request).verdict, after.decide(request).verdict);
            prop_assert!(is != Verdict::Allow || was == Verdict::Allow, "{request}: {was} became {is}\n{}", other.text());
        }
    }

    #[test]
    fn no_rule_gives_a_sensitive_zone_a_flow(plan in plan(), more in proptest::collection::vec(flow(&["allow", "ask"]), 0..6), requests in requests(), zone in 0usize..5) {
        let mut plan = plan;
        plan.sensitive = Some(zone);
        plan.flows.extend(more);
        let decider = plan.decider();
        let sensitive = support::party(zone);
        for request in requests.iter().filter(|request| request.from == sensitive || request.to == sensitive) {
            prop_assert_eq!(decider.decide(request).verdict, Verdict::Deny, "{}", request);
        }
        for request in &requests {
            let decision = decider.decide(request);
            prop_assert!(decision.verdict == Verdict::Deny || decision.target != sensitive, "a redirect led there: {request}");
        }
        prop_assert!(decider.reach(true).paths.iter().all(|path| path.from != sensitive && path.to != sensitive));
    }

    #[test]
    fn explain_agrees_with_decide(plan in plan(), requests in requests()) {
        let decider = plan.decider();
        for request in &requests {
            let decision = decider.decide(request);
            let explanation = decider.explain(request);
            let lowest = explanation.steps.iter().map(|step| step.verdict).min().unwrap();
            let refused = !matches!(decision.reason, bulkhead_policy::Reason::Rules | bulkhead_policy::Reason::NoRule);
            if refused {
                prop_assert_eq!(decision.verdict, Verdict::Deny);
            } else {
                prop_assert_eq!(lowest, decision.verdict, "{}\n{}\n{}", request, explanation, plan.text());
                let decided = explanation.steps.last().unwrap().considered.iter().filter(|rule| rule.fate == bulkhead_policy::Fate::Decided);
                for rule in decided {
                    prop_assert!(decision.determining.contains(&rule.rule));
                }
            }
        }
    }

    #[test]
    fn the_matrix_agrees_with_decide_on_every_cell(plan in plan(), requests in requests()) {
        let decider = plan.decider();
        let matrix = decider.matrix(&Kind::ALL);
        for request in &requests {
            for cell in &matrix.cells {
                let request = Request { kind: cell.kind, from: cell.from.clone(), to: cell.to.clone(), facts: request.facts.clone() };
                let verdict = decider.decide(&request).verdict;
                prop_assert!((cell.worst..=cell.best).contains(&verdict), "{request}: {verdict} is not in {} to {}\n{}", cell.worst, cell.best, plan.text());
            }
        }
    }

    #[test]
    fn reach_agrees_with_a_naive_closure(plan in plan()) {
        let decider = plan.decider();
        let zones: Vec<Party> = all_parties().into_iter().filter(|party| *party != Party::Host).collect();
        let reach = decider.reach(false);
        for least in [Verdict::Ask, Verdict::Allow] {
            // Warshall's closure over the direct hops.
            let mut way: Vec<Vec<bool>> = zones.iter().map(|from| zones.iter().map(|to| {
                reach.hops.iter().any(|hop| hop.from == *from && hop.to == *to && hop.verdict >= least)
            }).collect()).collect();
            for middle in 0..zones.len() {
                for from in 0..zones.len() {
                    for to in 0..zones.len() {
                        way[from][to] |= way[from][middle] && way[middle][to];
                    }
                }
            }
            for (from, row) in way.iter().enumerate() {
                for (to, open) in row.iter().enumerate().filter(|(to, _)| *to != from) {
                    let path = reach.path(&zones[from], &zones[to]).filter(|path| path.verdict >= least);
                    prop_assert_eq!(path.is_some(), *open, "{} to {} at {}", &zones[from], &zones[to], least);
                }
            }
        }
        for path in &reach.paths {
            prop_assert_eq!(&path.hops.first().unwrap().from, &path.from);
            prop_assert_eq!(&path.hops.last().unwrap().to, &path.to);
            prop_assert!(path.hops.windows(2).all(|pair| pair[0].to == pair[1].from));
            prop_assert_eq!(path.hops.iter().map(|hop| hop.verdict).min(), Some(path.verdict));
        }
    }

    #[test]
    fn whatever_crosses_is_a_hop_of_reach(plan in plan(), requests in requests()) {
        let decider = plan.decider();
        let reach = decider.reach(false);
        for request in requests.iter().filter(|request| CARRYING.contains(&request.kind) && request.to != Party::Host) {
            let decision = decider.decide(request);
            if decision.verdict != Verdict::Deny && decision.target != request.from {
                let path = reach.path(&request.from, &decision.target);
                prop_assert!(path.is_some_and(|path| path.verdict >= decision.verdict), "{request}\n{}", plan.text());
            }
        }
    }

    #[test]
    fn what_is_not_known_counts_against_crossing(plan in plan(), requests in requests()) {
        let decider = plan.decider();
        for request in &requests {
            let mut blind = request.clone();
            blind.facts = bulkhead_policy::Facts::default();
            let known = decider.decide(request).verdict;
            // With nothing known, no request can get more than some knowledge would give it, but for denies that it misses:
            // those fit what is not known, so the blind verdict is never weaker than a conditional deny.
            let blind_verdict = decider.decide(&blind).verdict;
            let cell = decider.cell(request.kind, &request.from, &request.to);
            prop_assert!(blind_verdict <= cell.best);
            if cell.rules.iter().any(|id| decider.rule(*id).is_some_and(|rule| rule.verdict == Verdict::Deny)) {
                prop_assert_eq!(blind_verdict, Verdict::Deny, "known: {}", known);
            }
        }
    }

    #[test]
    fn a_policy_and_itself_differ_in_nothing(plan in plan()) {
        let decider = plan.decider();
        prop_assert!(bulkhead_policy::Difference::between(&decider, &decider).is_empty());
    }

    #[test]
    fn the_difference_shows_every_loosening(plan in plan(), more in flow(&["allow"]), requests in requests()) {
        let before = plan.decider();
        let mut other = plan.clone();
        other.flows.push(more);
        let after = other.decider();
        let difference = bulkhead_policy::Difference::between(&before, &after);
        for request in &requests {
            if after.decide(request).verdict > before.decide(request).verdict {
                let told = difference.cells.iter().any(|cell| cell.loosened && cell.kind == request.kind && cell.from == request.from && cell.to == request.to);
                prop_assert!(told, "{request} was loosened\n{}", other.text());
            }
        }
    }

    #[test]
    fn lint_takes_every_policy_and_idle_rules_are_idle(plan in plan(), requests in requests()) {
        let decider = plan.decider();
        let idle: Vec<usize> = decider.lint(None).iter().filter(|warning| matches!(warning.code, "overridden" | "never-fits" | "redundant")).map(|warning| warning.location.line).collect();
        for warned in idle {
            let Some(index) = decider.policy().rules.iter().filter(|rule| rule.origin == bulkhead_policy::Origin::Written).position(|rule| rule.line == warned) else { continue };
            let mut without = plan.clone();
            without.flows.remove(index);
            let without = without.decider();
            for request in &requests {
                let (with, other) = (decider.decide(request), without.decide(request));
                prop_assert_eq!((with.verdict, with.target), (other.verdict, other.target), "line {}: {}\n{}", warned, request, plan.text());
            }
        }
    }

    #[test]
    fn reading_never_panics(text in "\\PC{0,400}") {
        let _ = Policy::parse("any.toml", text.as_bytes()).map(Decider::new);
    }
}

/// How many policies each property is tried on; more with `PROPTEST_CASES`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(256)
}

/// Found by the property above: what a rule without conditions adds shows only where a fact is missing.
#[test]
fn a_loosening_for_things_of_which_nothing_is_known_is_told() {
    let text = |more: &str| {
        format!(
            "[zone.a]\ncolour = \"#000000\"\nimage = \"x\"\n[[flow]]\nname = \"one\"\nkind = \"service\"\nfrom = \"a\"\nverdict = \"allow\"\nwhen = {{ services = \"*\" }}\n{more}"
        )
    };
    let decider = |text: String| Decider::new(Policy::parse("p.toml", text.as_bytes()).unwrap());
    let (before, after) = (
        decider(text("")),
        decider(text(
            "[[flow]]\nname = \"two\"\nkind = \"service\"\nfrom = \"a\"\nverdict = \"allow\"\n",
        )),
    );
    let difference = bulkhead_policy::Difference::between(&before, &after);
    assert!(
        difference.loosens() && difference.cells.len() == 1,
        "{difference}"
    );
}

/// Found by the same property: what a rule adds shows only after a redirect.
#[test]
fn a_loosening_of_where_something_is_redirected_to_is_told() {
    let zones: String = ["a", "b", "c"]
        .map(|name| format!("[zone.{name}]\ncolour = \"#000000\"\nimage = \"x\"\n"))
        .concat();
    let text = |more: &str| {
        format!(
            "{zones}[[flow]]\nname = \"one\"\nkind = \"clipboard\"\nfrom = \"a\"\nto = \"c\"\nverdict = \"ask\"\nthen = {{ redirect = \"b\" }}\n{more}"
        )
    };
    let decider = |text: String| Decider::new(Policy::parse("p.toml", text.as_bytes()).unwrap());
    let (before, after) = (
        decider(text("")),
        decider(text(
            "[[flow]]\nname = \"two\"\nkind = \"clipboard\"\nfrom = \"a\"\nto = \"any\"\nverdict = \"allow\"\nwhen = { hours = \"08:00-18:00\" }\n",
        )),
    );
    let difference = bulkhead_policy::Difference::between(&before, &after);
    let told = difference
        .cells
        .iter()
        .any(|cell| cell.loosened && cell.from.as_str() == "a" && cell.to.as_str() == "c");
    assert!(told, "{difference:?}");
}
