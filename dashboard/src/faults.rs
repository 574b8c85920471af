//! What is wrong with what somebody wrote into fields. Each is told by the label that people see.

use std::fmt::Display;

use crate::page::Refusal;

/// A field's name in its form, which is its id on the page too, and its label.
pub(crate) type Named = (&'static str, &'static str);

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The field's id on the page.
    pub(crate) field: &'static str,
    pub(crate) label: &'static str,
    /// Reads on after the label and a colon.
    pub(crate) words: String,
}

/// The faults of one form.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Fault {
    pub(crate) fn of((field, label): Named, words: impl Display) -> Self {
        Self { field, label, words: words.to_string() }
    }
}

impl Faults {
    pub(crate) fn keep<T, E: Display>(&mut self, named: Named, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(Fault::of(named, error))).ok()
    }

    /// What a field says that may be empty.
    pub(crate) fn read<T>(&mut self, result: Result<Option<T>, Fault>) -> Option<T> {
        result.map_err(|fault| self.add(fault)).ok().flatten()
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with the field of this name.
    pub(crate) fn at(&self, field: &str) -> Option<String> {
        self.0.iter().find(|fault| fault.field == field).map(|fault| fault.words.clone())
    }

    pub(crate) fn into_list(self) -> Vec<Fault> {
        self.0
    }

    /// # Errors
    /// When there are any, in words, for a form whose page is not shown again.
    pub(crate) fn result(self) -> Result<(), Refusal> {
        if self.is_empty() { Ok(()) } else { Err(refusal(&self.0)) }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        refusal(&[fault])
    }
}

fn refusal(faults: &[Fault]) -> Refusal {
    let told: Vec<String> = faults.iter().map(|fault| format!("{}: {}.", fault.label, fault.words)).collect();
    Refusal::Bad(format!("{} Go back and mend it.", told.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_by_their_labels() {
        let mut faults = Faults::default();
        assert_eq!(faults.keep(("a", "First"), "7".parse::<u8>()), Some(7));
        assert_eq!(faults.keep(("b", "Second"), Err::<u8, _>("it is odd")), None);
        assert_eq!(faults.read::<u8>(Err(Fault::of(("c", "Third"), "it is late"))), None);
        assert_eq!((faults.at("a"), faults.at("b").as_deref()), (None, Some("it is odd")));
        let Err(Refusal::Bad(words)) = faults.result() else { panic!("no faults") };
        assert_eq!(words, "Second: it is odd. Third: it is late. Go back and mend it.");
    }
}
