//! The program as a person and a pipeline use it: command line in, reports and exit codes out.

mod bad_input;
mod canary;
mod gate;
mod program;
mod reports;
