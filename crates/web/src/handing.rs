//! A body that says when it is handed over: a ticket burns when its certificate is fetched, not when it is issued.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use crate::enrolment::Fault;

/// The bytes of an answer. At the moment when the connection takes them, `taken` is done first: who has the bytes
/// knows that it is done, who broke off before got neither, and where it fails the answer breaks off without them.
pub(crate) struct HandedOver {
    bytes: Option<Bytes>,
    taken: Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>,
}

impl HandedOver {
    pub(crate) fn new(bytes: impl Into<Bytes>, taken: impl Future<Output = Result<(), Fault>> + Send + 'static) -> Self {
        Self { bytes: Some(bytes.into()), taken: Box::pin(taken) }
    }
}

impl HttpBody for HandedOver {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if self.bytes.is_none() {
            return Poll::Ready(None);
        }
        let taken = ready!(self.taken.as_mut().poll(context));
        let bytes = self.bytes.take();
        if let Err(fault) = taken {
            tracing::error!(%fault, "a certificate was not handed over: what it was issued for could not be spent");
            return Poll::Ready(Some(Err(fault)));
        }
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
