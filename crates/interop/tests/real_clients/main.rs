//! Phones and tools that nobody here wrote use a running `verbund`, as they come from their package registries.
//!
//! One program, so that its tests, which mostly wait, run side by side. How each phone is driven is in the library.

mod administration;
mod baresip;
mod certificates;
mod kamailio;
mod libre;
mod linphone;
mod names;
mod organisation;
mod pjsip;
mod pools;
mod sipp;
mod tls;
mod wire;
