//! rotator
