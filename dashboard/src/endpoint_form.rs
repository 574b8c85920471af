//! The form of an endpoint's settings: how each is written in a field, and what is wrong with what somebody wrote. The
//! rules are the domain's, as for the API.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use postrider_core::domain::{
    egress::{EgressPolicy, EndpointUrl},
    endpoint_settings::{
        CONCURRENCY, EndpointSettings, RATE_PER_SECOND, SettingsChange, TIMEOUT_MS, TIMEOUT_MS_DEFAULT,
        judge_description, judge_filters, judge_number,
    },
    retry::RetrySchedule,
};

use crate::{
    faults::{Fault, Faults},
    fields::Fields,
};

/// The texts of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndpointForm {
    pub(crate) url: String,
    pub(crate) description: String,
    /// With blanks or commas between them.
    pub(crate) event_types: String,
    pub(crate) channels: String,
    pub(crate) rate_per_second: String,
    pub(crate) concurrency_max: String,
    pub(crate) ordered: bool,
    pub(crate) timeout_ms: String,
    /// Seconds before each retry.
    pub(crate) retries: String,
}

impl EndpointForm {
    /// Of settings as they are.
    pub(crate) fn of(settings: &EndpointSettings) -> Self {
        let number = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
        Self {
            url: settings.url.as_str().to_owned(),
            description: settings.description.clone(),
            event_types: listed(settings.event_types.iter().cloned().map(String::from)),
            channels: listed(settings.channels.iter().map(ToString::to_string)),
            rate_per_second: number(settings.rate_per_second),
            concurrency_max: number(settings.concurrency_max),
            ordered: settings.ordered,
            timeout_ms: settings.timeout_ms.to_string(),
            retries: listed(settings.retry_schedule.seconds().iter().map(ToString::to_string)),
        }
    }

    /// Of an endpoint that is not made yet.
    pub(crate) fn fresh(retries: &RetrySchedule) -> Self {
        let retries = listed(retries.seconds().iter().map(ToString::to_string));
        Self { timeout_ms: TIMEOUT_MS_DEFAULT.to_string(), retries, ..Self::default() }
    }

    pub(crate) fn read(fields: &Fields) -> Self {
        let text = |name: &str| fields.text(name).unwrap_or_default().to_owned();
        Self {
            url: text("url"),
            description: text("description"),
            event_types: text("event_types"),
            channels: text("channels"),
            rate_per_second: text("rate_per_second"),
            concurrency_max: text("concurrency_max"),
            ordered: fields.text("ordered").is_some(),
            timeout_ms: text("timeout_ms"),
            retries: text("retries"),
        }
    }

    /// What this form changes of one that was shown; what is written as it was is left as it is.
    pub(crate) fn change(&self, shown: &Self, egress: &EgressPolicy) -> Result<SettingsChange, Vec<Fault>> {
        let mut faults = Faults::default();
        let mut change = SettingsChange::default();
        if self.url != shown.url || self.url.is_empty() {
            change.url = faults.keep(("url", "Address"), EndpointUrl::parse(&self.url, egress));
        }
        if self.description != shown.description {
            let judged = judge_description(&self.description).map(|()| self.description.clone());
            change.description = faults.keep(("description", "Description"), judged);
        }
        if self.event_types != shown.event_types {
            change.event_types = faults.keep(("event_types", "Event types"), list(&self.event_types));
        }
        if self.channels != shown.channels {
            change.channels = faults.keep(("channels", "Channels"), list(&self.channels));
        }
        if self.rate_per_second != shown.rate_per_second {
            let read = number(&self.rate_per_second, &RATE_PER_SECOND);
            change.rate_per_second = faults.keep(("rate_per_second", "Deliveries a second at most"), read);
        }
        if self.concurrency_max != shown.concurrency_max {
            let read = number(&self.concurrency_max, &CONCURRENCY);
            change.concurrency_max = faults.keep(("concurrency_max", "At once at most"), read);
        }
        if self.timeout_ms != shown.timeout_ms {
            let read = number(&self.timeout_ms, &TIMEOUT_MS).map(|read| read.unwrap_or(TIMEOUT_MS_DEFAULT));
            change.timeout_ms = faults.keep(("timeout_ms", "Time-out"), read);
        }
        if self.retries != shown.retries {
            change.retry_schedule = faults.keep(("retries", "Retries"), schedule(&self.retries));
        }
        change.ordered = (self.ordered != shown.ordered).then_some(self.ordered);
        if faults.is_empty() { Ok(change) } else { Err(faults.into_list()) }
    }
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t', '\r', '\n']).filter(|part| !part.is_empty())
}

fn list<T: FromStr<Err: Display>>(text: &str) -> Result<Vec<T>, String> {
    judge_filters(parts(text).count())?;
    parts(text).map(|part| part.parse().map_err(|error| format!("{part:?}: {error}"))).collect()
}

/// `None` where nothing is written.
fn number(text: &str, bounds: &RangeInclusive<u32>) -> Result<Option<u32>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse().map_err(|_| {
        let (min, max) = (bounds.start(), bounds.end());
        format!("{text:?} is no whole number from {min} to {max}")
    })?;
    judge_number(number, bounds).map(|()| Some(number))
}

fn schedule(text: &str) -> Result<RetrySchedule, String> {
    let seconds = parts(text).map(|part| part.parse::<f64>().map_err(|_| format!("{part:?} is no number of seconds")));
    RetrySchedule::from_seconds(&seconds.collect::<Result<Vec<_>, _>>()?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_as_it_was_is_left_as_it_is() {
        let shown = EndpointForm::fresh(&RetrySchedule::default());
        let shown = EndpointForm { url: "https://a.example/".to_owned(), ..shown };
        assert_eq!(shown.change(&shown, &EgressPolicy::default()), Ok(SettingsChange::default()));
        let written = EndpointForm {
            event_types: "a.b, c.*\nd".to_owned(),
            rate_per_second: "5".to_owned(),
            timeout_ms: String::new(),
            retries: "1 2.5".to_owned(),
            ordered: true,
            ..shown.clone()
        };
        let change = written.change(&shown, &EgressPolicy::default()).unwrap();
        assert_eq!(change.event_types.map(|types| types.len()), Some(3));
        assert_eq!((change.rate_per_second, change.timeout_ms), (Some(Some(5)), Some(TIMEOUT_MS_DEFAULT)));
        assert_eq!(change.retry_schedule.map(|schedule| schedule.seconds()), Some(vec![1.0, 2.5]));
        assert_eq!((change.ordered, change.url), (Some(true), None));
    }

    #[test]
    fn each_fault_is_told_at_its_field() {
        let written = EndpointForm {
            url: "ftp://a.example".to_owned(),
            event_types: "A b".to_owned(),
            rate_per_second: "0".to_owned(),
            concurrency_max: "many".to_owned(),
            timeout_ms: "99".to_owned(),
            retries: "-1".to_owned(),
            ..EndpointForm::default()
        };
        let faults = written.change(&EndpointForm::default(), &EgressPolicy::default()).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["url", "event_types", "rate_per_second", "concurrency_max", "timeout_ms", "retries"]);
        let empty = EndpointForm::default();
        assert_eq!(empty.change(&empty, &EgressPolicy::default()).unwrap_err()[0].field, "url");
    }
}
