//! Two of everything, which differ in one thing.

mod calls;
mod configurations;
mod requests;
mod waits;
