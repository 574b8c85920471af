//! The settings in force, and where each is set.

use askama::Template;
use axum::{Router, routing::get};
use postrider_core::{
    config::{From, InForce},
    domain::user::{Reach, UserRole},
};

use crate::{
    Dashboard, filters,
    page::{Frame, Refusal, Section, Shown, show},
    visit::Visit,
};

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/settings", get(settings))
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    frame: Frame,
    rows: Vec<Line>,
    version: &'static str,
}

struct Line {
    key: &'static str,
    value: String,
    from: String,
    is_set: bool,
    doc: String,
}

async fn settings(visit: Visit) -> Shown {
    // They are everybody's, so that who sees some tenants only has no business with them.
    if !visit.may(UserRole::Admin) || visit.user.reach != Reach::Every {
        return Err(Refusal::Role(UserRole::Admin));
    }
    let rows = visit.dashboard.settings.in_force.iter().map(line).collect();
    let frame = Frame::of(&visit, Section::Settings, "Settings");
    show(&SettingsPage { frame, rows, version: env!("CARGO_PKG_VERSION") })
}

fn line(setting: &InForce) -> Line {
    Line {
        key: setting.key,
        value: setting.value.clone(),
        is_set: setting.from != From::Default,
        from: match &setting.from {
            From::Default => "default".to_owned(),
            From::Variable(name) => format!("variable `{name}`"),
            From::File(path) => format!("file `{path}`"),
        },
        doc: setting.doc.clone(),
    }
}
