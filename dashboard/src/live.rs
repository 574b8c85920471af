//! Tells an open page that what it shows has changed, by server-sent events (HTML, section 9.2). The page itself is read
//! again by its script, so there is one way to draw it.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

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
use postrider_core::domain::{UnixMs, user::UserName};
use tokio::time::Instant;

use crate::{
    Dashboard,
    page::{Refusal, Shown},
    visit::Visit,
};

/// Pages that one process keeps up to date at once.
const STREAMS_MAX: usize = 500;
/// Those of one user among them.
const STREAMS_OF_USER_MAX: usize = 12;
/// How often is looked whether something has changed.
const LOOK: Duration = Duration::from_secs(1);
/// A page is read again after so long in any case: that time goes by is a change where something waits.
const AT_LEAST: Duration = Duration::from_secs(10);
/// How often is looked whether somebody is still signed in; who is not is told nothing more.
const CHECK: Duration = Duration::from_secs(5);
/// A stream ends after so long, and the browser's next one shows whether somebody is still signed in.
const LIFE: Duration = Duration::from_secs(300);
/// A browser comes back after so long.
const RETRY: Duration = Duration::from_secs(2);

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/live", get(live))
}

async fn live(visit: Visit) -> Shown {
    let place = visit.dashboard.streams.enter(&visit.user.name).ok_or(Refusal::TooSoon { seconds: 60 })?;
    let began = Instant::now();
    let watch = Watch { pulse: None, told_at: began, checked_at: began, began, visit, _place: place };
    let stream = Sse::new(changes(watch)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)));
    Ok(([(header::CACHE_CONTROL, "no-store")], stream).into_response())
}

/// Who is kept up to date, and on how many pages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<UserName, usize>>>);

impl Streams {
    /// `None` where there are too many.
    fn enter(&self, user: &UserName) -> Option<Place> {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (users.values().sum::<usize>(), users.get(user).copied().unwrap_or(0));
        if all >= STREAMS_MAX || own >= STREAMS_OF_USER_MAX {
            return None;
        }
        users.insert(user.clone(), own + 1);
        Some(Place { streams: self.clone(), user: user.clone() })
    }
}

/// Given back when the stream ends.
struct Place {
    streams: Streams,
    user: UserName,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut users = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        match users.get_mut(&self.user) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(users.remove(&self.user)),
        }
    }
}

struct Watch {
    visit: Visit,
    pulse: Option<i64>,
    told_at: Instant,
    checked_at: Instant,
    began: Instant,
    _place: Place,
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
            if watch.checked_at.elapsed() > CHECK {
                watch.checked_at = Instant::now();
                if matches!(watch.visit.goes_on().await, Ok(false)) {
                    return None;
                }
            }
            // While the database does not answer the page stays as it is, and is read again at the next change.
            let pulse = watch.visit.scope().pulse(UnixMs::now()).await.ok();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_does_not_take_the_streams_of_all() {
        let streams = Streams::default();
        let (ada, bob): (UserName, UserName) = ("ada".parse().unwrap(), "bob".parse().unwrap());
        let mut places: Vec<_> = (0..STREAMS_OF_USER_MAX).map(|_| streams.enter(&ada).unwrap()).collect();
        assert!(streams.enter(&ada).is_none() && streams.enter(&bob).is_some());
        places.pop();
        assert!(streams.enter(&ada).is_some());
    }
}
