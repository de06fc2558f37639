//! Whether a request comes from this machine's own page.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri};

/// Whether every name that a request has for this server can only be this machine: another site's name
/// may lead to this address, and that site's page would then read the answers ("DNS rebinding").
pub fn names_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let hosts: Vec<Option<Authority>> = headers.get_all(HOST).iter().map(authority).collect();
    !hosts.is_empty()
        && uri.host().is_none_or(is_loopback)
        && hosts
            .iter()
            .all(|host| host.as_ref().is_some_and(|host| is_loopback(host.host())))
}

/// Whether a request that a page made was made by a page of this server. A request of no page, such as
/// curl's, has no origin.
pub fn is_of_this_page(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    headers.get_all(ORIGIN).iter().all(|origin| {
        let site = origin.to_str().ok().and_then(|text| text.split_once("://"));
        site.is_some_and(|(_, site)| Some(site.as_bytes()) == host)
    })
}

fn authority(value: &HeaderValue) -> Option<Authority> {
    Authority::try_from(value.as_bytes()).ok()
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let parsed = address.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || parsed.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn local(uri: &str, hosts: &[&str]) -> bool {
        let hosts: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        names_this_machine(&uri.parse().unwrap(), &headers(&hosts))
    }

    #[test]
    fn only_names_that_can_be_nothing_but_this_machine_are_taken_for_it() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:1",
            "127.8.0.1",
            "[::1]:8000",
        ] {
            assert!(local("/", &[host]), "{host}");
        }
        for host in [
            "example.org",
            "localhost.example.org",
            "192.168.0.1",
            "127.0.0.1.nip.io",
            "localhost@example.org",
            "",
            "a b",
        ] {
            assert!(!local("/", &[host]), "{host}");
        }
        assert!(!local("/", &[]));
        assert!(!local("/", &["localhost", "example.org"]));
        assert!(!local("http://example.org/", &["localhost"]));
        assert!(local("http://localhost:8000/", &["localhost:8000"]));
    }

    #[test]
    fn another_sites_page_is_told_from_this_one_and_from_no_page() {
        let of_this_page = |origin: &[&str]| {
            let origins = origin.iter().map(|origin| ("origin", *origin));
            let all: Vec<_> = [("host", "localhost:8000")]
                .into_iter()
                .chain(origins)
                .collect();
            is_of_this_page(&headers(&all))
        };
        assert!(of_this_page(&[]));
        assert!(of_this_page(&["http://localhost:8000"]));
        for origin in [
            "null",
            "http://localhost",
            "http://example.org",
            "localhost:8000",
        ] {
            assert!(!of_this_page(&[origin]), "{origin}");
        }
        assert!(!of_this_page(&[
            "http://localhost:8000",
            "http://example.org"
        ]));
    }
}
