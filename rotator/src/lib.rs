//! Syncs Vault and OpenBao secrets into Kubernetes and rotates credentials, each old one proven dead.
//!
//! Data flows one way: schedule → plan → apply → record. A [`provider`] reads and writes secrets, from a [`vault`]
//! server or an encrypted [`file_store`].

pub mod file_store;
pub mod provider;
pub mod vault;
