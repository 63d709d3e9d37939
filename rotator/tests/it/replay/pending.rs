//! What is not reproduced yet: the case and the reason. The test holds this list to be exact.

/// Case and reason.
pub const PENDING: &[(&str, &str)] = &[];
