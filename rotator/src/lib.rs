//! Syncs Vault and OpenBao secrets into Kubernetes and rotates credentials, each old one proven dead.
//!
//! Data flows one way: schedule → plan → apply → record. A [`manifest`] says what is wanted. A [`provider`] reads
//! and writes secrets, from a [`vault`] server or an encrypted [`file_store`]. A [`target`] is where Secrets go, and
//! [`sync`] fills it, with [`template`]s of Go where manifests have some. A [`rotation`] turns one credential and proves the old one dead. The [`runner`] joins them for
//! each command of the [`cli`]. What is live is told to scanners by [`known`], and what they find is answered by
//! [`respond`]. What people order is in [`orders`] and [`freeze_command`]; [`store_command`] works on the local store by hand.

pub mod acknowledge_command;
pub mod audit;
pub mod backend;
pub mod cli;
pub mod controller;
pub mod file_store;
pub mod freeze_command;
pub mod go_duration;
pub mod json_text;
pub mod keys_command;
pub mod known;
pub mod manifest;
pub mod metrics;
pub mod orders;
pub mod plan;
pub mod process;
pub mod provider;
pub mod receipts_command;
pub mod respond;
pub mod rotate_command;
pub mod rotation;
pub mod run_command;
pub mod runner;
pub mod seal;
pub mod seal_command;
pub mod source;
pub mod status;
pub mod store_command;
pub mod sync;
pub mod target;
pub mod template;
pub mod traces;
pub mod vault;

mod wiped;
