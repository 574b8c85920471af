//! Kinds `webhook.deliver` and `webhook.test`: one event to one endpoint, signed at each attempt by what the endpoint's
//! settings are then. What a test that fails does not mean, the store knows.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use postrider_core::{
    dispatch::Filled,
    domain::{
        UnixMs,
        attempt::{AttemptClass, AttemptReport},
        dead_letter::Cause,
        endpoint::{Endpoint, EndpointState},
        job::Outcome,
        retry::RetrySchedule,
        sent::{Sent, ShownHeaders, delivery_headers},
        signature,
    },
    queue::Next,
    store::{ENDPOINT_DELETED, LiveEndpoint, StoreError, Work},
};

use super::{Executors, LOOK_AGAIN, after_call, after_failure, trace};
use crate::{
    egress::Call,
    outcomes::{Ended, Execution},
};

/// What a receiver answers that wants no more deliveries.
const GONE: u16 = 410;
/// How long an ordered lane rests whose turn came to the wrong delivery, where the queue lacks nothing that SQL has.
const IN_TURN_REST: Duration = Duration::from_millis(100);
const UNREADABLE_SECRET: &str =
    "the endpoint's signing secret cannot be read with the encryption keys that are configured";
const GONE_REASON: &str = "the receiver answered 410 Gone";

pub(super) async fn run(executors: &Executors, work: &Work) -> Execution {
    let live = match find(executors, work).await {
        Ok(Some(live)) => live,
        Ok(None) => {
            return Execution::decided(work, Outcome::Cancelled { reason: ENDPOINT_DELETED.to_owned() });
        }
        Err(error) => {
            tracing::warn!(%error, job = %work.job.id, "an endpoint could not be looked up; its delivery waits");
            return Execution::not_now(work, LOOK_AGAIN);
        }
    };
    let endpoint = &live.endpoint;
    match endpoint.state {
        EndpointState::Disabled => {
            return Execution::decided(work, Outcome::Dead { cause: Cause::EndpointDisabled });
        }
        EndpointState::Paused => return hold(executors, work, endpoint).await,
        EndpointState::Active | EndpointState::Failing => {}
    }
    if endpoint.settings.ordered && work.job.attempt == 0 {
        match executors.0.store.goes_behind(&work.job).await {
            Ok(false) => {}
            Ok(true) => return in_turn(executors, work, endpoint).await,
            Err(error) => {
                tracing::warn!(%error, job = %work.job.id, "what goes before a delivery could not be looked up; it waits");
                return Execution::not_now(work, LOOK_AGAIN);
            }
        }
    }
    let Some(payload) = &work.payload else {
        return executors.invalid(work, "its payload has been removed by retention");
    };
    let Some(message_id) = &work.message_id else {
        return executors.invalid(work, "it has no event");
    };
    deliver(executors, work, &live, message_id, payload).await
}

/// The schedule of the endpoint's retries, where it can be found.
pub(super) async fn schedule(executors: &Executors, work: &Work) -> Option<RetrySchedule> {
    let live = find(executors, work).await.ok()??;
    Some(live.endpoint.settings.retry_schedule.clone())
}

/// The endpoint. What would end the job without a call is what SQL says now, not what is in memory.
async fn find(executors: &Executors, work: &Work) -> Result<Option<Arc<LiveEndpoint>>, StoreError> {
    let Some(id) = work.job.endpoint_id else { return Ok(None) };
    let directory = executors.0.store.directory();
    match directory.endpoint(work.job.tenant_id, id).await? {
        Some(live) if live.endpoint.state == EndpointState::Disabled => {
            directory.endpoint_now(work.job.tenant_id, id).await
        }
        found => Ok(found),
    }
}

/// Gives the ticket of a paused endpoint back. The lane is told before, or the ticket would come again at once; told
/// what SQL says now, since what is in memory may be older than a resume.
async fn hold(executors: &Executors, work: &Work, endpoint: &Endpoint) -> Execution {
    match executors.0.store.tenant(endpoint.tenant_id).endpoint(endpoint.id).await {
        Ok(Some(now)) => {
            executors.0.dispatcher.tell(&now.lane(), &now.lane_settings()).await;
            Execution::NotNow(Next::Release)
        }
        Ok(None) | Err(_) => Execution::not_now(work, LOOK_AGAIN),
    }
}

/// Gives the ticket of a delivery back that others go before, once the queue has these too.
async fn in_turn(executors: &Executors, work: &Work, endpoint: &Endpoint) -> Execution {
    match executors.0.dispatcher.fill_before(&endpoint.lane()).await {
        Ok(Filled::Some) => {}
        // What goes before it may be away from the queue still, and the ticket would come again at once.
        Ok(Filled::Nothing) => tokio::time::sleep(IN_TURN_REST).await,
        Err(error) => {
            tracing::warn!(%error, job = %work.job.id, "what goes before a delivery could not be offered; it waits");
            return Execution::not_now(work, LOOK_AGAIN);
        }
    }
    Execution::NotNow(Next::InTurn { order: work.job.run_at, priority: work.job.priority })
}

async fn deliver(
    executors: &Executors,
    work: &Work,
    live: &LiveEndpoint,
    message_id: &str,
    payload: &[u8],
) -> Execution {
    let settings = &live.endpoint.settings;
    let started_at = UnixMs::now();
    let secrets = live.secrets(started_at);
    if secrets.is_empty() {
        // Never unsigned: the delivery is tried again, until the operator has restored the encryption key.
        let report = executors.report(AttemptClass::Invalid, UNREADABLE_SECRET);
        return Execution::ended(work, Some(report.clone()), after_failure(work, &report, &settings.retry_schedule));
    }
    let signed = signature::sign(&secrets, message_id, started_at, payload);
    let mut headers = delivery_headers(signed, &executors.0.user_agent, &settings.headers);
    let step = executors.step(work);
    trace::add_headers(&step, &mut headers);
    let call = Call {
        method: "POST",
        url: &settings.url,
        headers: &headers,
        body: Bytes::copy_from_slice(payload),
        timeout: Duration::from_millis(settings.timeout_ms.into()),
    };
    let (exchange, report) = match executors.call(work, call, step).await {
        Ok(made) => made,
        Err(not_now) => return not_now,
    };
    let state = state_after(&live.endpoint, &report);
    let mut ended = after_call(work, report, &settings.retry_schedule, exchange.duration);
    if exchange.status_code == Some(GONE) {
        ended.finished.outcome = Outcome::Dead { cause: Cause::Gone };
    }
    if matches!(ended.finished.outcome, Outcome::Dead { .. }) {
        let url = settings.url.as_str().to_owned();
        ended.finished.sent = Some(Sent { url, headers: ShownHeaders::of(&headers) });
    }
    Execution::Ended(Box::new(Ended { ordered: settings.ordered, ..ended.with_endpoint(state) }))
}

/// What the attempt says of the endpoint's state. The store changes it only from the states that are a delivery's to
/// change.
fn state_after(endpoint: &Endpoint, report: &AttemptReport) -> Option<(EndpointState, Option<String>)> {
    match (report.class, endpoint.state) {
        (AttemptClass::Succeeded, EndpointState::Failing) => Some((EndpointState::Active, None)),
        (AttemptClass::Succeeded, _) => None,
        _ if report.status_code == Some(GONE) => Some((EndpointState::Disabled, Some(GONE_REASON.to_owned()))),
        (_, EndpointState::Active) => Some((EndpointState::Failing, report.error.clone())),
        _ => None,
    }
}
