//! Who is signed in. Owns the cookie, and the token that forms carry against requests forged by other sites.

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use postrider_core::store::SESSION_AGE_MAX;
use ring::{digest, hmac};

const SECRET_BYTES: usize = 32;
/// What a form's token says under its mask.
const FORMS: &[u8] = b"forms";
const COOKIE: &str = "postrider_session";
/// Browsers take a cookie of such a name only over https, from this host, for the whole site (RFC 6265bis §4.1.3.2).
const COOKIE_OVER_TLS: &str = "__Host-postrider_session";

/// The secret that a browser has while somebody is signed in. SQL has its hash only.
#[derive(Clone)]
pub(crate) struct Session([u8; SECRET_BYTES]);

impl Session {
    pub(crate) fn new() -> Self {
        Self(rand::random())
    }

    /// The one that a request brings.
    pub(crate) fn of(headers: &HeaderMap, tls: bool) -> Option<Self> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, text) = pairs.find(|(name, _)| *name == cookie_name(tls))?;
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// In the place of a session of our own: of somebody whom a proxy has signed in, or of a link's bearer.
    pub(crate) fn of_key(key: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, key.as_bytes());
        Self(std::array::from_fn(|place| hash.as_ref().get(place).copied().unwrap_or_default()))
    }

    pub(crate) fn hash(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, &self.0).as_ref().to_vec()
    }

    /// The header that gives it to a browser.
    pub(crate) fn cookie(&self, tls: bool) -> Option<HeaderValue> {
        cookie(&URL_SAFE_NO_PAD.encode(self.0), SESSION_AGE_MAX.as_secs(), tls)
    }

    /// A token for one page's forms. Each looks different, so that what a page's compressed length tells is no help to
    /// find it out (BREACH).
    pub(crate) fn form_token(&self) -> String {
        let mask: [u8; SECRET_BYTES] = rand::random();
        let tag = hmac::sign(&self.form_key(), FORMS);
        let masked: Vec<u8> = mask.iter().zip(tag.as_ref()).map(|(mask, tag)| mask ^ tag).collect();
        URL_SAFE_NO_PAD.encode([mask.as_slice(), &masked].concat())
    }

    pub(crate) fn is_form_token(&self, text: &str) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) else { return false };
        let Some((mask, masked)) = bytes.split_first_chunk::<SECRET_BYTES>() else { return false };
        let Ok(masked) = <[u8; SECRET_BYTES]>::try_from(masked) else { return false };
        hmac::verify(&self.form_key(), FORMS, &xor(*mask, masked)).is_ok()
    }

    fn form_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

/// The header that takes a browser's session away.
pub(crate) fn no_cookie(tls: bool) -> Option<HeaderValue> {
    cookie("", 0, tls)
}

/// Whether a request that changes something comes from a page of this host, by what browsers say of it (Fetch Metadata,
/// section 2.4; RFC 6454). A caller that is no browser says nothing and brings no cookie by itself.
///
/// A proxy may have put another name in `Host`, so `public`, the origin that browsers use, is ours too.
pub(crate) fn is_from_here(headers: &HeaderMap, public: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = text("origin") else { return true };
    let Some(origin) = origin_of(origin) else { return false };
    let scheme = origin.split_once("://").map_or("", |(scheme, _)| scheme);
    let host = text("host").and_then(|host| origin_of(&format!("{scheme}://{host}")));
    host.as_deref() == Some(&origin) || public == Some(&origin)
}

/// The origin of an address, as browsers write it (RFC 6454, section 6.2): in lower case, without the scheme's own port.
pub fn origin_of(url: &str) -> Option<String> {
    let url = url.to_ascii_lowercase();
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty())?;
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    Some(format!("{scheme}://{}", host.strip_suffix(port).unwrap_or(host)))
}

/// Whether a link of another site leads here, by what browsers say of it (Fetch Metadata, section 2.4).
pub(crate) fn is_from_another_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site")
}

fn cookie(text: &str, age_s: u64, tls: bool) -> Option<HeaderValue> {
    let secure = if tls { "; Secure" } else { "" };
    let name = cookie_name(tls);
    HeaderValue::try_from(format!("{name}={text}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Lax{secure}")).ok()
}

const fn cookie_name(tls: bool) -> &'static str {
    if tls { COOKIE_OVER_TLS } else { COOKIE }
}

fn xor(left: [u8; SECRET_BYTES], right: [u8; SECRET_BYTES]) -> [u8; SECRET_BYTES] {
    std::array::from_fn(|place| left[place] ^ right[place])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_session_is_read_back_from_its_cookie_and_only_from_its_own() {
        let session = Session::new();
        for tls in [false, true] {
            let cookie = session.cookie(tls).unwrap();
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let mut headers = HeaderMap::new();
            headers.insert("cookie", HeaderValue::try_from(format!("theme=dark; {pair}; x=y")).unwrap());
            assert_eq!(Session::of(&headers, tls).unwrap().hash(), session.hash());
            assert!(Session::of(&headers, !tls).is_none());
        }
        assert!(Session::of(&headers(&[("cookie", "postrider_session=short")]), false).is_none());
    }

    #[test]
    fn a_form_s_token_is_another_each_time_and_right_in_its_own_session_only() {
        let (session, other) = (Session::new(), Session::new());
        let [one, two] = [session.form_token(), session.form_token()];
        assert_ne!(one, two);
        assert!(session.is_form_token(&one) && session.is_form_token(&two));
        assert!(!other.is_form_token(&one));
        assert!(!session.is_form_token("") && !session.is_form_token(&one[1..]));
    }

    #[test]
    fn what_another_site_sends_is_told_apart() {
        let public = origin_of("https://Hooks.example/");
        let from = |pairs: &[(&'static str, &'static str)]| is_from_here(&headers(pairs), public.as_deref());
        assert!(from(&[]));
        assert!(from(&[("sec-fetch-site", "same-origin"), ("origin", "https://proxy.example")]));
        assert!(from(&[("origin", "http://a.example:7077"), ("host", "a.example:7077")]));
        assert!(from(&[("origin", "https://hooks.example"), ("host", "127.0.0.1:7077")]), "a proxy wrote another host");
        assert!(from(&[("origin", "https://a.example"), ("host", "A.example:443")]));
        assert!(from(&[("origin", "http://a.example"), ("host", "a.example:80")]));
        for bad in [
            [("origin", "http://hooks.example"), ("host", "127.0.0.1:7077")],
            [("origin", "https://hooks.example:8443"), ("host", "hooks.example")],
            [("origin", "https://a.example"), ("host", "a.example:80")],
            [("sec-fetch-site", "cross-site"), ("host", "a.example")],
            [("sec-fetch-site", "same-site"), ("host", "a.example")],
            [("origin", "http://b.example"), ("host", "a.example")],
            [("origin", "null"), ("host", "a.example")],
        ] {
            assert!(!from(&bad), "{bad:?}");
        }
    }
}
