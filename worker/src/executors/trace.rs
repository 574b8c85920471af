//! One attempt as a step of its job's trace: what the receiver is told of it, and what is told of it to whoever records it.

use postrider_core::{
    domain::attempt::{AttemptClass, AttemptReport},
    store::Work,
    trace::{Attribute, Side, Step, Told},
};

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// Adds the headers of the step, unless whoever made the endpoint or the job has set them.
pub(super) fn add_headers(step: &Step, headers: &mut Vec<(String, String)>) {
    let own = |headers: &[(String, String)]| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(PARENT));
    let Some(context) = step.context().filter(|_| !own(headers)) else { return };
    headers.push((PARENT.to_owned(), context.parent_header()));
    headers.extend(context.state_header().map(|state| (STATE.to_owned(), state.to_owned())));
}

/// Ends an attempt's step with what is kept of the attempt.
pub(super) fn end(step: Step, work: &Work, report: &AttemptReport) {
    step.end(|| told(work, report));
}

fn told(work: &Work, report: &AttemptReport) -> Told {
    let text = |value: &dyn ToString| Attribute::Text(value.to_string());
    let mut attributes = vec![
        ("postrider.tenant.id", text(&work.job.tenant_id)),
        ("postrider.job.id", text(&work.job.id)),
        ("postrider.job.kind", text(&work.job.kind)),
        ("postrider.attempt", Attribute::Number(i64::from(work.job.attempt) + 1)),
        ("postrider.outcome", text(&report.class)),
    ];
    attributes.extend(work.job.endpoint_id.map(|id| ("postrider.endpoint.id", text(&id))));
    attributes.extend(work.message_id.as_ref().map(|id| ("messaging.message.id", text(id))));
    attributes.extend(report.status_code.map(|code| ("http.response.status_code", Attribute::Number(code.into()))));
    let failed = report.class != AttemptClass::Succeeded;
    attributes.extend(failed.then(|| ("error.type", text(&report.class))));
    Told { name: "attempt", side: Side::Client, error: report.error.clone(), attributes }
}
