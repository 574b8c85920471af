//! Forms that came after their session had ended. They did nothing: whoever sent one is led to the page that it was on, and
//! told so there.

use axum::http::{Method, header, request::Parts};
use url::Url;

use crate::fields::Fields;

/// What the address of that page says besides its own.
const MARK: (&str, &str) = ("session", "over");
/// Sections whose things have pages of their own.
const WITH_PAGES: [&str; 7] = ["dead-letters", "endpoints", "events", "failures", "jobs", "lanes", "operations"];

/// Where to go on after signing in: the address itself of what was looked at, and the page of a form.
pub(crate) fn after_sign_in(parts: &Parts, address: &str) -> String {
    if parts.method == Method::GET || parts.method == Method::HEAD {
        return address.to_owned();
    }
    let path = address.split('?').next().unwrap_or_default();
    let page = page_before(parts, path).unwrap_or_else(|| page_above(path));
    let (path, query) = page.split_once('?').unwrap_or((&page, ""));
    let fields = Fields::parse(query.as_bytes()).unwrap_or_default();
    format!("{path}{}", fields.query_with(MARK.0, MARK.1))
}

/// Whether somebody goes on there whose form did nothing.
pub(crate) fn is_after_form(next: &str) -> bool {
    let query = next.split_once('?').map_or("", |(_, query)| query);
    Fields::parse(query.as_bytes()).is_ok_and(|fields| split(fields).1)
}

/// The fields of a page's own, and whether it is shown in the place of what a form would have done.
pub(crate) fn split(fields: Fields) -> (Fields, bool) {
    let is_marked = fields.pairs().any(|pair| pair == MARK);
    match is_marked {
        true => (fields.without(&[MARK.0]), true),
        false => (fields, false),
    }
}

/// The page that the form was on, as its browser says. What a form answered stands at an address that nobody can look at.
fn page_before(parts: &Parts, path: &str) -> Option<String> {
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let page = Url::parse(text(header::REFERER)?).ok()?;
    let host = match page.port() {
        Some(port) => format!("{}:{port}", page.host_str()?),
        None => page.host_str()?.to_owned(),
    };
    let is_of_tenant = page.path().starts_with("/t/") && page.path() != path;
    let address = page.query().map_or_else(|| page.path().to_owned(), |query| format!("{}?{query}", page.path()));
    (is_of_tenant && text(header::HOST)? == host).then_some(address)
}

/// The page of the thing that a form was about, else of its section.
fn page_above(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["t", tenant, section, thing, _, ..] if WITH_PAGES.contains(section) => {
            format!("/t/{tenant}/{section}/{thing}")
        }
        ["t", tenant, section, _, ..] => format!("/t/{tenant}/{section}"),
        ["t", tenant, ..] => format!("/t/{tenant}"),
        _ => "/t".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;

    use super::*;

    #[test]
    fn a_form_leads_to_the_page_that_it_was_on_or_to_that_of_its_thing() {
        let of = |path: &str, referer: &str| {
            let request = Request::post(path).header("host", "h:7").header("referer", referer).body(()).unwrap();
            after_sign_in(&request.into_parts().0, path)
        };
        let pause = "/t/a/endpoints/ep_1/pause";
        assert_eq!(of(pause, "http://h:7/t/a/endpoints?q=a%26b"), "/t/a/endpoints?q=a%26b&session=over");
        for elsewhere in ["", "http://other/t/a/jobs", "http://h:7/v1/jobs", "http://h:7/t/a/endpoints/ep_1/pause"] {
            assert_eq!(of(pause, elsewhere), "/t/a/endpoints/ep_1?session=over", "{elsewhere}");
        }
        assert_eq!(of("/t/a/users/bob/remove", ""), "/t/a/users?session=over");
        assert_eq!(of("/t/a/dead-letters/bulk", ""), "/t/a/dead-letters?session=over");
        assert_eq!(of("/t/a/endpoints", ""), "/t/a?session=over");
        assert!(is_after_form(&of(pause, "")) && !is_after_form("/t/a/jobs?session=x"));
        let looked = Request::get("/t/a/jobs?q=1").body(()).unwrap().into_parts().0;
        assert_eq!(after_sign_in(&looked, "/t/a/jobs?q=1"), "/t/a/jobs?q=1");
    }
}
