//! On policies made at random, Cedar and we must say the same.

use cedar_policy::Authorizer;
use policy_oracle::{Numbers, Plan};

#[test]
fn cedar_and_we_agree_on_every_request() {
    let mut numbers = Numbers(0x00c0_ffee);
    let (mut allowed, mut denied) = (0, 0);
    for round in 0..120 {
        let plan = Plan::random(&mut numbers, 2 + round % 7, 1 + round % 40, true);
        let (decider, policies, entities) = (plan.decider(), plan.policies(), plan.entities());
        let authorizer = Authorizer::new();
        for _ in 0..60 {
            let question = plan.question(&mut numbers);
            let ours = decider.decide(&question.ours).verdict;
            let theirs = question.oracle(&authorizer, &policies, &entities);
            assert_eq!(
                ours,
                theirs,
                "{}\n{}\n{}",
                question.ours,
                plan.ours(),
                plan.cedar()
            );
            if ours == bulkhead_policy::Verdict::Allow {
                allowed += 1;
            } else {
                denied += 1;
            }
        }
    }
    assert!(
        allowed > 500 && denied > 500,
        "both answers are met: {allowed} allowed, {denied} denied"
    );
}
