//! What is not reproduced yet: the case and the reason. The test holds this list to be exact.

/// Case and reason, by feature.
pub const PENDING: &[(&str, &str)] = &[
    // drift
    (
        "drift-managed-label",
        "on purpose: a label that was edited by hand is put back at once, not at the next refresh",
    ),
    // extract
    (
        "generator-fake",
        "on purpose: generators make values of their own; the condition says that there are none here",
    ),
    // policy
    (
        "create-owner-foreign-owner",
        "on purpose: a Secret that another controller owns is not touched, not even labelled",
    ),
    // store
    (
        "store-own-controller",
        "on purpose: stores of another controller are left alone, also of the operator's own class",
    ),
];
