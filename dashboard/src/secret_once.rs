//! A secret that was just made, shown this once.

use askama::Template;

use crate::page::Frame;

#[derive(Template)]
#[template(path = "secret_once.html")]
pub(crate) struct SecretPage {
    pub(crate) frame: Frame,
    pub(crate) title: String,
    /// What to do with it.
    pub(crate) text: &'static str,
    pub(crate) secret: String,
    /// Where to go on.
    pub(crate) back: String,
}
