//! Bodies of requests, whose caller waits until they have come: who announces one and never sends it asks for nothing, and
//! has to make room for others as a silent one has. Knows no connection.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use crate::callers::Caller;

/// A body that is read to its end, or dropped where nobody wants the rest.
pub(crate) struct Arriving {
    body: Incoming,
    caller: Arc<Caller>,
}

impl Arriving {
    pub(crate) fn new(body: Incoming, caller: Arc<Caller>) -> Self {
        let arriving = Self { body, caller };
        arriving.tell_of_the_end();
        arriving
    }

    fn tell_of_the_end(&self) {
        if self.body.is_end_stream() {
            self.caller.asks();
        }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(_) => self.tell_of_the_end(),
            None => self.caller.asks(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.caller.asks();
    }
}
