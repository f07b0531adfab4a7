//! Addresses of object stores.

use super::report::Refusal;

/// An endpoint taken apart: `https://minio:9000` or `minio:9000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Whether the scheme, if there is one, is plain HTTP.
    pub(super) plain: Option<bool>,
    /// `host` or `host:port`.
    pub(super) authority: String,
}

impl Endpoint {
    /// Takes a text apart.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.contains('@') {
            // The text is not repeated: it holds a secret.
            return Err(Refusal::new(
                "the endpoint contains credentials",
                "put them into a secret and name it in credentials.secretRef",
            ));
        }
        let (scheme, rest) =
            text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
        let plain = match scheme {
            None => None,
            Some("https") => Some(false),
            Some("http") => Some(true),
            Some(scheme) => {
                return Err(Refusal::new(
                    format!("{text:?} has the scheme {scheme:?}"),
                    format!("write https://{rest}, or http://{rest} without TLS"),
                ));
            }
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        check_authority(text, authority)?;
        Ok(Self { plain, authority: authority.to_owned() })
    }

    /// The host without its port.
    pub(super) fn host(&self) -> &str {
        host_and_port(&self.authority).0
    }

    /// The endpoint as a URL.
    pub(super) fn url(&self, insecure: bool) -> String {
        let scheme = if insecure { "http" } else { "https" };
        format!("{scheme}://{}", self.authority)
    }
}

fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // The colons of a bare `[::1]` are not a port's.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn check_authority(text: &str, authority: &str) -> Result<(), Refusal> {
    if authority.contains('/') {
        return Err(Refusal::new(
            format!("{text:?} has a path"),
            "write host, host:port or a URL without a path; a folder within the bucket goes into prefix",
        ));
    }
    let (host, port) = host_and_port(authority);
    let plain_host = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte));
    if host.is_empty() || !plain_host {
        return Err(Refusal::new(
            format!("{text:?} has no host"),
            "write host, host:port or a URL: https://minio.example.org:9000",
        ));
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        Some(_) => Err(Refusal::new(format!("{text:?} has a bad port"), "use a port from 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_refused_or_taken_apart_for_good(text in "[a-z0-9:/@.\\[\\] -]{0,24}") {
            if let Ok(endpoint) = Endpoint::parse(&text) {
                let url = endpoint.url(endpoint.plain == Some(true));
                let again = Endpoint::parse(&url).unwrap();
                prop_assert_eq!(&again.authority, &endpoint.authority);
                prop_assert_eq!(again.plain, Some(endpoint.plain == Some(true)));
            }
        }
    }

    #[test]
    fn takes_every_form_apart() {
        for (text, plain, authority, host) in [
            ("minio", None, "minio", "minio"),
            ("minio:9000", None, "minio:9000", "minio"),
            ("http://minio:9000/", Some(true), "minio:9000", "minio"),
            (
                "https://s3.eu-west-1.amazonaws.com",
                Some(false),
                "s3.eu-west-1.amazonaws.com",
                "s3.eu-west-1.amazonaws.com",
            ),
            ("http://[::1]:9000", Some(true), "[::1]:9000", "[::1]"),
            ("[::1]", None, "[::1]", "[::1]"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(
                (endpoint.plain, endpoint.authority.as_str(), endpoint.host()),
                (plain, authority, host),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_address_and_never_repeats_credentials() {
        for text in [
            "",
            "s3://bucket",
            "minio:0",
            "minio:70000",
            "minio:x",
            "https://minio/bucket",
            "mi nio",
            ":9000",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
        let refusal = Endpoint::parse("https://key:hunter2@minio").unwrap_err();
        assert!(!format!("{refusal:?}").contains("hunter2"));
    }
}
