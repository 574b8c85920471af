//! One event: its payload, where it went as a tree, and sending it once more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use askama::Template;
use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Redirect},
    routing::get,
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        dead_letter::DeadLetter,
        endpoint::{Endpoint, EndpointState},
        job::{Job, JobView},
        lane::{LaneKey, LaneName},
        user::UserRole,
    },
    running::running,
    store::{Delivery, DeliveryLetter, EventSummary, Item, NoReplay, Publication, Published, TenantEndpoints},
};
use serde_json::json;

use crate::{
    Dashboard,
    body::Body,
    filters,
    moment::Moment,
    once::{gate, id_of_form, sent_already},
    page::{Frame, Refusal, Section, Shown, base, show},
    visit::{Deed, Visit},
};

/// Endpoints that a page shows deliveries of, or lets somebody choose among.
const BRANCHES_MAX: usize = 200;
/// Addresses that are shown of those to which an event would be replayed.
const ADDRESSES_MAX: usize = 50;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/events/{id}", get(event)).route("/events/{id}/replay", get(ask).post(replay))
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    frame: Frame,
    id: String,
    public_id: String,
    kind: String,
    channels: String,
    published: Moment,
    deliver_at: Moment,
    /// `None` once retention has removed it.
    payload: Option<Body>,
    branches: Vec<Branch>,
    /// Endpoints beyond those that are shown.
    more: usize,
    choices: Vec<Choice>,
    branches_max: usize,
    /// Of what the page's form sends.
    once: String,
}

#[derive(Template)]
#[template(path = "event_replay.html")]
struct ReplayPage {
    frame: Frame,
    public_id: String,
    kind: String,
    back: String,
    /// Ids and addresses of those that it would go to.
    endpoints: Vec<(String, String)>,
    /// Of what the page's form sends.
    once: String,
}

impl ReplayPage {
    fn shown(&self) -> &[(String, String)] {
        &self.endpoints[..self.endpoints.len().min(ADDRESSES_MAX)]
    }
}

/// Deliveries to one endpoint.
struct Branch {
    endpoint: String,
    /// `None` where it is deleted.
    url: Option<String>,
    deliveries: Vec<Vec<Twig>>,
}

/// A delivery, or the replay of the dead letter of the one before it.
struct Twig {
    job: String,
    state: &'static str,
    attempts: String,
    due: Option<Moment>,
    error: Option<String>,
    letter: Option<(String, &'static str)>,
}

/// An endpoint that the event can be sent to once more.
struct Choice {
    id: String,
    url: String,
    wants: bool,
}

async fn event(visit: Visit, Path((_, id)): Path<(String, String)>) -> Shown {
    let summary = find(&visit, &id).await?;
    let endpoints = visit.dashboard.store.directory().endpoints(visit.tenant.id).await?;
    let letters = visit.scope().letters_of(summary.deliveries.iter().map(|delivery| delivery.job_id)).await?;
    let keys: Vec<(LaneKey, Id<Job>)> = summary.deliveries.iter().map(|delivery| key(&visit, delivery)).collect();
    let runs = running(&visit.dashboard.queue, &keys).await;
    let mut tree = Tree::of(&summary.deliveries, &letters, &runs, visit.now);
    let event = &summary.event;
    let channels: Vec<String> = event.channels.iter().map(ToString::to_string).collect();
    let mut branches = tree.branches(&visit, &endpoints);
    let more = branches.len().saturating_sub(BRANCHES_MAX);
    branches.truncate(BRANCHES_MAX);
    let page = EventPage {
        frame: Frame::of(&visit, Section::Events, format!("Event {}", event.public_id())),
        id: event.id.to_string(),
        public_id: event.public_id(),
        kind: event.kind.to_string(),
        channels: channels.join(", "),
        published: Moment::of(event.created_at, visit.now),
        deliver_at: Moment::of(event.deliver_at, visit.now),
        payload: event.payload.as_deref().map(|payload| visit.body(payload)),
        branches,
        more,
        choices: choices(&summary, &endpoints),
        branches_max: BRANCHES_MAX,
        once: Id::<Job>::new().to_string(),
    };
    show(&page)
}

fn key(visit: &Visit, delivery: &Delivery) -> (LaneKey, Id<Job>) {
    let name = LaneName::of_endpoint(delivery.endpoint_id);
    (LaneKey { tenant: visit.tenant.id, name }, delivery.job_id)
}

/// Those that had it or want it now, as far as they take anything.
fn choices(summary: &EventSummary, endpoints: &TenantEndpoints) -> Vec<Choice> {
    let event = &summary.event;
    let had = summary.deliveries.iter().map(|delivery| delivery.endpoint_id);
    let wanting = endpoints.wanting(&event.kind, &event.channels).map(|live| live.endpoint.id);
    let ids: BTreeSet<Id<Endpoint>> = had.chain(wanting).collect();
    let takes = |endpoint: &Endpoint| endpoint.state != EndpointState::Disabled;
    let found = ids.into_iter().filter_map(|id| endpoints.get(id)).map(|live| &live.endpoint);
    let choice = |endpoint: &Endpoint| Choice {
        id: endpoint.id.to_string(),
        url: endpoint.settings.url.as_str().to_owned(),
        wants: endpoint.wants(&event.kind, &event.channels),
    };
    found.filter(|endpoint| takes(endpoint)).take(BRANCHES_MAX).map(choice).collect()
}

/// Deliveries by what they came from: their endpoint, or the dead letter that they replay.
struct Tree<'d> {
    letters: HashMap<Id<Job>, DeliveryLetter>,
    replays: HashMap<Id<DeadLetter>, (&'d Delivery, bool)>,
    roots: BTreeMap<Id<Endpoint>, Vec<(&'d Delivery, bool)>>,
    now: UnixMs,
}

impl<'d> Tree<'d> {
    fn of(deliveries: &'d [Delivery], letters: &[DeliveryLetter], runs: &[bool], now: UnixMs) -> Self {
        let known: BTreeSet<Id<DeadLetter>> = letters.iter().map(|letter| letter.id).collect();
        let letters = letters.iter().map(|letter| (letter.job_id, *letter)).collect();
        let mut tree = Self { letters, replays: HashMap::new(), roots: BTreeMap::new(), now };
        for (delivery, runs) in deliveries.iter().zip(runs.iter().copied()) {
            match delivery.replay_of.filter(|letter| known.contains(letter)) {
                Some(letter) => drop(tree.replays.insert(letter, (delivery, runs))),
                None => tree.roots.entry(delivery.endpoint_id).or_default().push((delivery, runs)),
            }
        }
        tree
    }

    fn branches(&mut self, visit: &Visit, endpoints: &TenantEndpoints) -> Vec<Branch> {
        let roots = std::mem::take(&mut self.roots);
        let branch = |(endpoint, deliveries): (Id<Endpoint>, Vec<(&'d Delivery, bool)>)| Branch {
            endpoint: endpoint.to_string(),
            url: endpoints.get(endpoint).map(|live| visit.url(live.endpoint.settings.url.as_str())),
            deliveries: deliveries.into_iter().map(|root| self.chain(root)).collect(),
        };
        roots.into_iter().map(branch).collect()
    }

    /// A dead letter is replayed once at most, so what follows a delivery is a chain.
    fn chain(&mut self, root: (&'d Delivery, bool)) -> Vec<Twig> {
        let (mut chain, mut next) = (Vec::new(), Some(root));
        while let Some((delivery, runs)) = next {
            let letter = self.letters.get(&delivery.job_id).copied();
            chain.push(twig(delivery, runs, letter, self.now));
            next = letter.and_then(|letter| self.replays.remove(&letter.id));
        }
        chain
    }
}

fn twig(delivery: &Delivery, runs: bool, letter: Option<DeliveryLetter>, now: UnixMs) -> Twig {
    let view = JobView::derived(delivery.state, delivery.attempt, delivery.run_at, runs, now);
    Twig {
        job: delivery.job_id.to_string(),
        state: view.as_str(),
        attempts: format!("{} of {}", delivery.attempt, delivery.max_attempts),
        due: matches!(view, JobView::Scheduled | JobView::Retrying).then(|| Moment::of(delivery.run_at, now)),
        error: delivery.last_error.clone(),
        letter: letter.map(|letter| (letter.id.to_string(), letter.state.as_str())),
    }
}

/// Shows to how many the event would go; the form names them, so that it goes to those and to no other.
async fn ask(visit: Visit, Path((_, id)): Path<(String, String)>) -> Shown {
    if !visit.may(UserRole::Operator) {
        return Err(Refusal::Role(UserRole::Operator));
    }
    let event = find(&visit, &id).await?.event;
    let endpoints = visit.dashboard.store.directory().endpoints(visit.tenant.id).await?;
    let wanting = endpoints.wanting(&event.kind, &event.channels).map(|live| &live.endpoint);
    let page = ReplayPage {
        frame: Frame::of(&visit, Section::Events, "Replay an event"),
        public_id: event.public_id(),
        kind: event.kind.to_string(),
        back: format!("{}/events/{}", base(&visit.tenant), event.id),
        endpoints: wanting.map(|one| (one.id.to_string(), one.settings.url.as_str().to_owned())).collect(),
        once: Id::<Job>::new().to_string(),
    };
    show(&page)
}

async fn replay(Path((_, id)): Path<(String, String)>, Deed { visit, fields }: Deed) -> Shown {
    let event = find(&visit, &id).await?.event;
    let named = chosen(fields.all("endpoint"))?;
    let endpoints = visit.dashboard.store.directory().endpoints(visit.tenant.id).await?;
    let now = UnixMs::now();
    let said = format!("{} {}", event.id, named.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    let gate = gate(id_of_form::<Job>(&fields, now)?, &said);
    let jobs = endpoints.replays(&event, Some(&named), now).map_err(refused)?;
    let due: Vec<_> = jobs.iter().map(|job| job.due(visit.tenant.id)).collect();
    let note = json!({ "jobs": jobs.iter().map(|job| job.id).collect::<Vec<_>>(), "endpoints": named });
    let item = Item::jobs(jobs);
    let publication = Publication::plain(vec![item], now).behind(Some(gate));
    let publication = publication.noting("event.replay", event.id.to_string(), note);
    match visit.scope().publish(publication).await? {
        Published::Stored(_) => visit.dashboard.dispatcher.offer(&due),
        // The same form, sent again: what it asked for is done.
        Published::Replayed { .. } => {}
        Published::Conflict => return Err(sent_already()),
    }
    Ok(Redirect::to(&format!("{}/events/{}", base(&visit.tenant), event.id)).into_response())
}

fn chosen<'f>(texts: impl Iterator<Item = &'f str>) -> Result<Vec<Id<Endpoint>>, Refusal> {
    let parsed = |text: &str| text.parse().map_err(|_| Refusal::NotFound("endpoint"));
    let mut named: Vec<Id<Endpoint>> = Vec::new();
    for one in texts.map(parsed) {
        let one = one?;
        if !named.contains(&one) {
            named.push(one);
        }
    }
    match named.is_empty() {
        true => Err(Refusal::Bad("No endpoint was chosen. Go back and choose those that shall have it.".to_owned())),
        false => Ok(named),
    }
}

fn refused(refused: NoReplay) -> Refusal {
    match refused {
        NoReplay::PayloadGone => {
            Refusal::Conflict("Retention has removed this event's payload, so there is nothing to send.".to_owned())
        }
        NoReplay::NoEndpoint(_) => Refusal::NotFound("endpoint"),
        NoReplay::EndpointDisabled(endpoint) => {
            Refusal::Conflict(format!("The endpoint {} is disabled. Resume it first.", endpoint.settings.url.as_str()))
        }
    }
}

async fn find(visit: &Visit, id: &str) -> Result<EventSummary, Refusal> {
    visit.scope().event(id).await?.ok_or(Refusal::NotFound("event"))
}
