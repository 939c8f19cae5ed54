//! The proxy in scenes: phones as flows, time as a number.
#![allow(clippy::unwrap_used)]

mod attacks;
mod calls;
mod cancels;
mod flows;
mod forks;
mod headers;
mod limits;
mod loops;
mod media;
mod property;
mod routes;
mod scene;
mod servers;
mod timers;
mod transactions;
