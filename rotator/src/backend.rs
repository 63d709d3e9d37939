//! Kinds of servers whose credentials are rotated: one module each, behind the machine's
//! [`Backend`](crate::rotation::context::Backend) trait. [`define`] reads a target's manifest, [`Definition::open`]
//! makes what the machine drives.

pub mod any;
pub mod define;
pub mod htpasswd;
pub mod postgresql;

pub use any::AnyBackend;
pub use define::Definition;
