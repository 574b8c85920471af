//! Kind `http.request`: any HTTP call, as its arguments say.

use std::time::Duration;

use bytes::Bytes;
use postrider_core::{
    domain::{http_request::HttpRequest, retry::RetrySchedule},
    store::Work,
};

use super::{Executors, after_call, trace};
use crate::{egress::Call, outcomes::Execution};

pub(super) async fn run(executors: &Executors, work: &Work) -> Execution {
    let mut request = match parse(work) {
        Ok(request) => request,
        Err(why) => return executors.invalid(work, &why),
    };
    let step = executors.step(work);
    trace::add_headers(&step, &mut request.headers);
    let call = Call {
        method: &request.method,
        url: &request.url,
        headers: &request.headers,
        body: request.body.map(Bytes::from).unwrap_or_default(),
        timeout: Duration::from_millis(request.timeout_ms.into()),
    };
    match executors.call(work, call, step).await {
        Ok((exchange, report)) => {
            Execution::Ended(Box::new(after_call(work, report, &request.retry_schedule, exchange.duration)))
        }
        Err(not_now) => not_now,
    }
}

/// The schedule of the request's retries, where it can be read.
pub(super) fn schedule(work: &Work) -> Option<RetrySchedule> {
    parse(work).ok().map(|request| request.retry_schedule)
}

fn parse(work: &Work) -> Result<HttpRequest, String> {
    let args = work.payload.as_deref().ok_or("its arguments are missing")?;
    serde_json::from_slice(args).map_err(|error| format!("its arguments cannot be read: {error}"))
}
