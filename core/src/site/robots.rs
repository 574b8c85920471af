//! Lines for a host's `robots.txt` (sitemaps.org, "Specifying the Sitemap location in your robots.txt file"). A sitemap may be
//! on another host: the line itself says that the host it stands on agrees (cross-host submission).

use std::collections::HashSet;

use crate::domain::site::permalink::Permalink;

/// A line for each of these sitemaps or indexes, in their order, none twice.
#[must_use]
pub fn sitemap_lines<'a>(sitemaps: impl IntoIterator<Item = &'a Permalink>) -> String {
    let mut seen = HashSet::new();
    let mut lines = String::new();
    for url in sitemaps.into_iter().filter(|url| seen.insert(*url)) {
        lines.extend(["Sitemap: ", url.as_str(), "\n"]);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_names_its_own_sitemaps_and_those_of_others_once() {
        let link = |text: &str| Permalink::parse(text).unwrap();
        let (own, other) = (link("https://a.example/café.xml"), link("https://files.example/a.xml"));
        let lines = "Sitemap: https://a.example/caf%C3%A9.xml\nSitemap: https://files.example/a.xml\n";
        assert_eq!(sitemap_lines([&own, &other, &own]), lines);
        assert_eq!(sitemap_lines([]), "");
    }
}
