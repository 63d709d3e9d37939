//! Rules as data.

pub mod example;
