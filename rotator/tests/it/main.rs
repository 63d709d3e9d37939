//! The program and its stores as a user meets them.
// The setting that allows these in tests knows functions marked as tests, not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acknowledge;
mod check;
mod cluster;
mod conformance;
mod contract;
mod leak_loop;
mod migration;
mod misbehaving;
mod orders;
mod policies;
mod postgres;
mod proxy;
mod replay;
mod respond;
mod rotate;
mod rotate_cluster;
mod rotate_objects;
mod run_cluster;
mod run_faults;
mod run_polling;
mod run_restarts;
mod run_roles;
mod seal;
mod status_secrets;
mod stopping;
mod store;
mod sync_cluster;
mod sync_faults;
mod sync_folder;
mod sync_logins;
mod sync_many;
mod sync_reach;
mod sync_tls;
mod template_functions;
mod traces;
mod vault;
mod workshop;
