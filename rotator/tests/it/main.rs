//! The program and its stores as a user meets them.
// The setting that allows these in tests knows functions marked as tests, not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod check;
<<<<<<< HEAD
mod cluster;
mod misbehaving;
mod replay;
=======
mod rotate;
>>>>>>> 6ffd394 (Rotate an htpasswd credential from the local store to its consumers in a folder, with a signed receipt)
mod store;
mod sync_cluster;
mod sync_folder;
mod vault;
mod workshop;
