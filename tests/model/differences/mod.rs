//! Two of everything, which differ in one thing.

mod configurations;
mod requests;
mod waits;
