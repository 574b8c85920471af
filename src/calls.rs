//! The API's rules for the arguments of HTTP calls, as the dashboard asks for them.

use postrider_api::CallArguments;
use postrider_dashboard::CallRules;

#[derive(Debug)]
pub(crate) struct Calls(pub(crate) CallArguments);

impl CallRules for Calls {
    fn shown(&self, stored: &[u8]) -> Option<String> {
        self.0.shown(stored)
    }

    fn read(&self, text: &str) -> Result<Vec<u8>, String> {
        self.0.read(text)
    }
}
