//! What died: its snapshot, made of the rows that are still there in the transaction that makes the job dead.

use super::{StoreError, attempts, dead_letters::write_headers, endpoints, outcomes::Finished, pool::Tx, sql::sql};
use crate::domain::{
    Id,
    attempt::AttemptClass,
    dead_letter::{Cause, DeadLetter, PastAttempt},
    job::{Job, Outcome},
    sent::ShownHeaders,
};

/// Adds a dead letter for each of those that died.
pub(super) async fn snapshot(tx: &mut Tx<'_>, current: &[&Finished]) -> Result<(), StoreError> {
    let dead: Vec<(&Finished, Cause)> = current
        .iter()
        .filter_map(|one| match one.outcome {
            Outcome::Dead { cause } => Some((*one, cause)),
            _ => None,
        })
        .collect();
    for run in tx.dialect().runs(dead) {
        let jobs: Vec<Id<Job>> = run.iter().map(|(one, _)| one.job).collect();
        let mut histories = attempts::on_time(tx, &jobs).await?;
        for (one, cause) in run {
            let history = histories.remove(&one.job).unwrap_or_default();
            insert(tx, one, cause, &history).await?;
        }
    }
    Ok(())
}

async fn insert(tx: &mut Tx<'_>, one: &Finished, cause: Cause, history: &[PastAttempt]) -> Result<(), StoreError> {
    let history_text = serde_json::to_string(history).map_err(|error| StoreError::unreadable("history", error))?;
    let errors = || history.iter().filter_map(|attempt| attempt.error.clone());
    let ended = history.iter().filter(|attempt| attempt.outcome != AttemptClass::Lost.as_str()).count();
    let reported = one.report.as_ref().and_then(|report| report.error.clone());
    let last_error = reported.or_else(|| errors().next_back()).unwrap_or_else(|| words(cause).to_owned());
    let status_code = history.last().and_then(|attempt| attempt.status_code);
    let sent = match &one.sent {
        Some(sent) => Some((sent.url.clone(), Some(sent.headers.clone()))),
        None => remembered(tx, one, history).await?,
    };
    let (url, headers) = sent.unzip();
    let headers = write_headers(headers.flatten().as_ref())?;
    let insert = sql("INSERT INTO dead_letters (id, tenant_id, job_id, kind, lane, priority, max_attempts, cause, state, message_id, event_id, \
        event_type, endpoint_id, endpoint_url, request_headers, payload, attempts, history, first_error, last_error, status_code, fingerprint, \
        replay_of, tags, created_at) ")
        .and("SELECT ", Id::<DeadLetter>::at(one.now, rand::random()))
        .and(", j.tenant_id, j.id, j.kind, j.lane, j.priority, j.max_attempts, ", cause.as_str())
        .then(", 'open', COALESCE(j.message_id, e.own_id")
        .and(", ", one.message_id.clone())
        .then("), j.event_id, e.kind, j.endpoint_id")
        .and(", CASE WHEN j.endpoint_id IS NULL THEN NULL ELSE ", url)
        .and(" END, ", headers)
        .then(", COALESCE(j.args, e.payload")
        .and(", ", Vec::new())
        .and("), ", i64::try_from(ended).unwrap_or(i64::MAX))
        .and(", ", history_text)
        .and(", ", errors().next())
        .and(", ", last_error)
        .and(", ", status_code)
        .then(", j.fingerprint, j.replay_of, j.tags")
        .and(", ", one.now)
        .and(" FROM jobs j LEFT JOIN events e ON e.id = j.event_id WHERE j.id = ", one.job);
    tx.execute(insert).await.map(drop)
}

/// Of a delivery that died without a call of its own: where its endpoint is, and the headers of the call before, unless
/// the endpoint was changed since.
async fn remembered(
    tx: &mut Tx<'_>,
    one: &Finished,
    history: &[PastAttempt],
) -> Result<Option<(String, Option<ShownHeaders>)>, StoreError> {
    let Some(endpoint) = one.endpoint else { return Ok(None) };
    let row: Option<endpoints::Row> = tx.fetch_one(endpoints::select().and(" WHERE id = ", endpoint)).await?;
    // What cannot be read keeps nothing from being buried.
    let Some(endpoint) = row.and_then(|row| row.read().ok()) else { return Ok(None) };
    let sent_at = PastAttempt::last_tried(history).map(|attempt| attempt.started_at);
    let as_sent = sent_at.filter(|at| endpoint.updated_at <= *at).zip(one.message_id.as_deref());
    let headers = as_sent.map(|(at, message)| ShownHeaders::of_delivery(message, at, &endpoint.settings.headers));
    Ok(Some((endpoint.settings.url.as_str().to_owned(), headers)))
}

pub(super) const fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::AttemptsSpent => "all attempts are spent",
        Cause::Gone => "the endpoint answered 410 Gone before",
        Cause::EndpointDisabled => "the endpoint is disabled",
        Cause::WorkersLost => "three workers vanished while they ran it",
        Cause::Invalid => "it cannot be run as it is",
    }
}
