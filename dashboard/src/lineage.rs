//! What replays what: from a job back to the dead letter that it replays and on to what became of it.

use postrider_core::domain::{Id, dead_letter::DeadLetter, job::Job};

use crate::{
    page::{Refusal, base},
    visit::Visit,
};

/// Replays of replays that a page follows, back and on.
const STEPS_MAX: usize = 8;

/// A job or a dead letter of the line, oldest first.
pub(crate) struct Kin {
    pub(crate) what: &'static str,
    pub(crate) id: String,
    pub(crate) path: String,
    /// What it is now, where that is known.
    pub(crate) state: Option<&'static str>,
    /// The page is about it.
    pub(crate) here: bool,
}

/// The line that a job stands in; empty where there is nothing but the job itself.
pub(crate) async fn of(
    visit: &Visit,
    job: Id<Job>,
    replay_of: Option<Id<DeadLetter>>,
    here: &str,
) -> Result<Vec<Kin>, Refusal> {
    let scope = visit.scope();
    let base = base(&visit.tenant);
    let of_job = |id: Id<Job>| {
        let (id, path) = (id.to_string(), format!("{base}/jobs/{id}"));
        Kin { what: "job", here: id == here, id, path, state: None }
    };
    let of_letter = |letter: &DeadLetter| {
        let (id, path) = (letter.id.to_string(), format!("{base}/dead-letters/{}", letter.id));
        Kin { what: "dead letter", here: id == here, id, path, state: Some(letter.state.as_str()) }
    };
    let (mut line, mut before) = (vec![of_job(job)], replay_of);
    for _ in 0..STEPS_MAX {
        let Some(id) = before else { break };
        let Some(letter) = scope.dead_letter(id).await? else { break };
        line.push(of_letter(&letter));
        line.push(of_job(letter.job_id));
        before = letter.replay_of;
    }
    line.reverse();
    let mut after = Some(job);
    for _ in 0..STEPS_MAX {
        let Some(id) = after else { break };
        let Some(letter) = scope.dead_letter_of_job(id).await? else { break };
        line.push(of_letter(&letter));
        line.extend(letter.replayed_as.map(of_job));
        after = letter.replayed_as;
    }
    Ok(if line.len() > 1 { line } else { Vec::new() })
}
