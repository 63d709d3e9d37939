//! Rotations against a real PostgreSQL, with a streaming replica, a PgBouncer and OpenBao.

mod clients;
mod faults;
mod refused;
mod shop;
mod tls;
mod turning;

pub use clients::Clients;
pub use shop::{Shop, login, password};
