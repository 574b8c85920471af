//! Tells an open page that what it shows has changed, by server-sent events (HTML, section 9.2). The page itself is read
//! again by its script, so there is one way to draw it.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    http::header,
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures::{Stream, stream};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use crate::{
    Dashboard,
    page::{Refusal, Shown},
    visit::Visit,
};

/// Pages that one process keeps up to date at once.
pub(crate) const STREAMS_MAX: usize = 500;
/// How often is looked whether something has changed.
const LOOK: Duration = Duration::from_secs(1);
/// A page is read again after so long in any case: that time goes by is a change where something waits.
const AT_LEAST: Duration = Duration::from_secs(10);
/// A stream ends after so long, and the browser's next one shows whether somebody is still signed in.
const LIFE: Duration = Duration::from_secs(300);
/// A browser comes back after so long.
const RETRY: Duration = Duration::from_secs(2);

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/live", get(live))
}

async fn live(visit: Visit) -> Shown {
    let permit = visit.dashboard.streams.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Refusal::TooSoon { seconds: 60 })?;
    let watch = Watch { pulse: None, told_at: Instant::now(), began: Instant::now(), visit, _permit: permit };
    let stream = Sse::new(changes(watch)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)));
    Ok(([(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], stream).into_response())
}

struct Watch {
    visit: Visit,
    pulse: Option<i64>,
    told_at: Instant,
    began: Instant,
    _permit: OwnedSemaphorePermit,
}

fn changes(watch: Watch) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(watch, async |mut watch| {
        let stop = watch.visit.dashboard.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(LOOK) => {}
            }
            if watch.began.elapsed() > LIFE {
                return None;
            }
            // While the database does not answer the page stays as it is, and is read again at the next change.
            let pulse = watch.visit.scope().pulse(postrider_core::domain::UnixMs::now()).await.ok();
            if pulse == watch.pulse && watch.told_at.elapsed() < AT_LEAST {
                continue;
            }
            let is_first = watch.pulse.is_none();
            (watch.pulse, watch.told_at) = (pulse, Instant::now());
            if !is_first {
                return Some((Ok(Event::default().data("changed").retry(RETRY)), watch));
            }
        }
    })
}
