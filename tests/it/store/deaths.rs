//! What is kept of a job that died.

use std::time::Duration;

use postrider_core::{
    domain::{dead_letter::Cause, job::Outcome},
    store::{DeadLetterFilter, Finished, Page, Resolved},
};

use super::Fixture;
use crate::harness::Stack;

on_both_stacks!(
    a_dead_job_leaves_a_whole_snapshot_that_is_replayed_once,
    what_dies_without_a_call_has_the_headers_of_the_call_before_unless_its_endpoint_was_changed_since,
);

async fn a_dead_job_leaves_a_whole_snapshot_that_is_replayed_once(stack: Stack) {
    let at = Fixture::make(stack).await;
    let endpoint = at.endpoint().await;
    let job = at.die(&endpoint).await;
    let scope = at.store.tenant(at.tenant.id);
    let page = Page { before: None, limit: 10 };
    let letters = scope
        .whole_dead_letters(&DeadLetterFilter { q: Some("http 500".to_owned()), ..DeadLetterFilter::default() }, &page)
        .await
        .unwrap();
    let letter = letters.rows.first().unwrap();
    assert_eq!((letter.job_id, letter.payload.as_slice(), letter.attempts), (job, b"{\"b\": 1.0e3 }".as_slice(), 1));
    assert_eq!(letter.endpoint_url.as_deref(), Some("http://127.0.0.1:9/"));
    assert_eq!(letter.history[0].response_body.as_deref(), Some("oh"));
    let Resolved::Done(replay) = scope.replay_dead_letter(letter.id, Some(b"{}".to_vec()), at.now).await.unwrap()
    else {
        panic!("not replayed")
    };
    assert!(matches!(scope.replay_dead_letter(letter.id, None, at.now).await.unwrap(), Resolved::Already(_)));
    let work = at.store.load_work(&[replay.id]).await.unwrap();
    assert_eq!((work[0].payload.as_deref(), work[0].job.replay_of), (Some(b"{}".as_slice()), Some(letter.id)));
    assert_eq!(work[0].message_id.as_deref(), letter.message_id.as_deref());
    let failures = scope.failures(None, 10).await.unwrap();
    assert_eq!((failures.len(), failures[0].count), (1, 1));
}

async fn what_dies_without_a_call_has_the_headers_of_the_call_before_unless_its_endpoint_was_changed_since(
    stack: Stack,
) {
    let at = Fixture::make(stack).await;
    let scope = at.store.tenant(at.tenant.id);
    for is_changed in [false, true] {
        let endpoint = at.endpoint().await;
        let (_, job, item) = at.event(&endpoint);
        at.publish(None, vec![item]).await;
        at.store.record(at.finished(job, &endpoint, 0, Outcome::Retry { at: at.now })).await.unwrap();
        let later = at.now + Duration::from_secs(1);
        if is_changed {
            scope.update_endpoint(endpoint.id, later, |settings| settings.timeout_ms = 100).await.unwrap();
        }
        let dead = at.finished(job, &endpoint, 1, Outcome::Dead { cause: Cause::EndpointDisabled });
        at.store.record(Finished { report: None, ..dead }).await.unwrap();
        scope.delete_endpoint(endpoint.id, later).await.unwrap();
        let letter = scope.dead_letter_of_job(job).await.unwrap().unwrap();
        let sent_at = (at.now.0 / 1000).to_string();
        let kept = letter.request_headers.as_ref().map(|headers| {
            let timestamp = headers.iter().find(|(name, _)| *name == "webhook-timestamp");
            assert_eq!(timestamp, Some(("webhook-timestamp", Some(sent_at.as_str()))));
        });
        assert_eq!((kept.is_some(), letter.endpoint_url.is_some()), (!is_changed, true));
    }
}
