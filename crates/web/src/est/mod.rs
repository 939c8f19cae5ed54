//! Enrolment over Secure Transport (RFC 7030), for appliances and for whoever has curl and openssl.
//!
//! The password is a ticket; who has a certificate already renews with it. Names come from the topology; the ones in
//! a request are compared with it, so that nobody takes one certificate for another. Who may have what is left to
//! [`Enrolment`].

mod applicant;
mod certs_only;
mod routes;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::Published;
use crate::enrolment::Enrolment;

pub use routes::request_of;

/// What the routes go by.
#[derive(Clone)]
pub(crate) struct Est {
    pub(crate) enrolment: Arc<dyn Enrolment>,
    pub(crate) published: Arc<dyn Published>,
}

pub(crate) fn router(est: Est) -> Router {
    Router::new()
        .route("/.well-known/est/cacerts", get(routes::ca_certificates))
        .route("/.well-known/est/csrattrs", get(routes::attributes))
        .route("/.well-known/est/simpleenroll", post(routes::enrol))
        .route("/.well-known/est/simplereenroll", post(routes::enrol_again))
        .with_state(est)
}
