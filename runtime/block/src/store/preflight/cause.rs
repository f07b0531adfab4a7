//! What a store's refusal means. Stores say it in words of their own, and the client's errors are text.

use std::error::Error;

use serde::Serialize;

/// Why a request failed, as far as it is known what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// There is no such bucket, container or folder.
    NoBucket,
    /// The bucket is in another region, or the endpoint is another's.
    WrongRegion,
    /// `http` where the server speaks TLS, or the other way round.
    WrongScheme,
    /// Nobody that is trusted has signed the server's certificate.
    UnknownCertificate,
    /// The clocks of this machine and of the store differ too much.
    ClockSkew,
    /// There are no credentials.
    NoCredentials,
    /// The store does not know the credentials, or they are not right.
    WrongCredentials,
    /// The credentials are right, and lack a right.
    Denied,
    /// Nothing can be written to that file system by anybody.
    ReadOnly,
    /// There is no space left, or no quota.
    Full,
    /// The server does not answer.
    Unreachable,
    /// Anything else.
    Other,
}

impl Cause {
    /// Of an error and its sources.
    pub(super) fn of(error: &object_store::Error) -> Self {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            text.push('\n');
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        Self::of_text(&text)
    }

    /// Most telling first: an answer of 403 may be any of several.
    fn of_text(text: &str) -> Self {
        const SAID: [(Cause, &[&str]); 12] = [
            (
                Cause::NoBucket,
                &[
                    "NoSuchBucket",
                    "ContainerNotFound",
                    "ContainerBeingDeleted",
                    "specified bucket does not exist",
                ],
            ),
            (Cause::ClockSkew, &["RequestTimeTooSkewed", "RequestExpired", "Request date header too old"]),
            (
                Cause::WrongRegion,
                &[
                    "AuthorizationHeaderMalformed",
                    "PermanentRedirect",
                    "incorrectly configured region",
                    "IllegalLocation",
                ],
            ),
            (
                Cause::WrongCredentials,
                &[
                    "SignatureDoesNotMatch",
                    "InvalidAccessKeyId",
                    "InvalidTokenId",
                    "InvalidToken",
                    "ExpiredToken",
                    "AuthenticationFailed",
                    // Azure, whatever code it gives.
                    "failed to authenticate the request",
                    "AuthenticationRequired",
                    "401 Unauthorized",
                    "invalid_grant",
                ],
            ),
            (
                Cause::WrongScheme,
                &[
                    "HTTP request to an HTTPS server",
                    "HTTP request was sent to HTTPS port",
                    "InvalidContentType",
                    "URL scheme is not allowed",
                ],
            ),
            (
                Cause::UnknownCertificate,
                &["invalid peer certificate", "UnknownIssuer", "certificate verify failed"],
            ),
            (
                Cause::NoCredentials,
                &["169.254.169.254", "169.254.170.2", "metadata.google.internal", "MissingCredential"],
            ),
            (Cause::ReadOnly, &["Read-only file system"]),
            (
                Cause::Full,
                &[
                    "No space left on device",
                    "Disk quota exceeded",
                    "Quota exceeded",
                    "QuotaExceeded",
                    "StorageFull",
                ],
            ),
            (
                Cause::Denied,
                &[
                    "AccessDenied",
                    "Access Denied",
                    "AuthorizationPermissionMismatch",
                    "403 Forbidden",
                    "Permission denied",
                    "Operation not permitted",
                ],
            ),
            (
                Cause::Unreachable,
                &[
                    "Connection refused",
                    "dns error",
                    "failed to lookup",
                    "No route to host",
                    "Network is unreachable",
                    "error trying to connect",
                    "Connection reset",
                    "timed out",
                    "operation timed out",
                ],
            ),
            (Cause::NoBucket, &["No such file or directory"]),
        ];
        let said = SAID.iter().find(|(_, words)| words.iter().any(|word| text.contains(word)));
        said.map_or(Cause::Other, |(cause, _)| *cause)
    }

    /// Whether the next request would fail likewise.
    pub(super) fn is_general(self) -> bool {
        !matches!(self, Self::Denied | Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_understood() {
        for (text, cause) in [
            ("status code: 404 Not Found: <Code>NoSuchBucket</Code>", Cause::NoBucket),
            ("403 Forbidden: <Error><Code>RequestTimeTooSkewed</Code>", Cause::ClockSkew),
            ("status code: 400 Bad Request: <Code>AuthorizationHeaderMalformed</Code>", Cause::WrongRegion),
            ("403 Forbidden: <Code>SignatureDoesNotMatch</Code>", Cause::WrongCredentials),
            ("403 Forbidden: Server failed to authenticate the request.", Cause::WrongCredentials),
            ("403 Forbidden: <Error><Code>AccessDenied</Code>", Cause::Denied),
            ("403 Forbidden: <Code>AuthorizationPermissionMismatch</Code>", Cause::Denied),
            ("status code: 403 Forbidden: ", Cause::Denied),
            ("invalid peer certificate: UnknownIssuer", Cause::UnknownCertificate),
            ("received corrupt message of type InvalidContentType", Cause::WrongScheme),
            ("Client sent an HTTP request to an HTTPS server.", Cause::WrongScheme),
            ("PUT http://169.254.169.254/latest/api/token: Connection refused", Cause::NoCredentials),
            ("tcp connect error: Connection refused (os error 111)", Cause::Unreachable),
            ("Unable to open file /ro/x#1: Read-only file system (os error 30)", Cause::ReadOnly),
            ("Unable to copy data to file: No space left on device (os error 28)", Cause::Full),
            ("507 Insufficient Storage: <Code>XMinioStorageFull</Code>", Cause::Full),
            ("Unable to open file /data/x#1: Permission denied (os error 13)", Cause::Denied),
            ("503 Slow Down", Cause::Other),
        ] {
            assert_eq!(Cause::of_text(text), cause, "{text}");
        }
    }
}
