//! Headers that a request has once.

use axum::http::{HeaderMap, HeaderValue};

use crate::problem::{Code, Problem};

/// The header's only value, `None` where it is absent. A proxy and this server could each believe another of two, so
/// which of them holds is not guessed.
///
/// # Errors
/// 400 when it is there twice, also with the same value.
pub(crate) fn only<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        _ => Err(Problem::of_parameter(Code::BadHeader, name, "it is there twice; send one")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_where_it_is_there_once() {
        let mut headers = HeaderMap::new();
        assert_eq!(only(&headers, "X-A").unwrap(), None);
        headers.append("x-a", HeaderValue::from_static("1"));
        assert_eq!(only(&headers, "X-A").unwrap(), Some(&HeaderValue::from_static("1")));
        headers.append("x-a", HeaderValue::from_static("1"));
        assert_eq!(only(&headers, "X-A").unwrap_err().code, Code::BadHeader);
    }
}
