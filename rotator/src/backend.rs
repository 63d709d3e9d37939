//! Kinds of servers whose credentials are rotated: one file each, behind the machine's
//! [`Backend`](crate::rotation::context::Backend) trait.

pub mod htpasswd;
