//! What the API server refuses, told to people.

use kube::core::Status;
use kube::core::response::StatusCause;
use tempoform_engine::target::TargetError;

/// Someone else's field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// The other's name and API version, as the server tells it: `"kubectl" using apps/v1`.
    pub(crate) manager: String,
    /// `.spec.replicas`
    pub(crate) field: String,
}

/// An error of a request for `what` ("cannot read StatefulSet/a/b").
pub(crate) fn explain(what: &str, error: kube::Error) -> TargetError {
    let status = match error {
        kube::Error::Api(status) => status,
        error @ (kube::Error::Service(_) | kube::Error::HyperError(_)) => {
            return TargetError::new(format!("{what}: the API server does not answer"))
                .help("look whether `kubectl version` gets an answer with the same context")
                .caused_by(error);
        }
        error => return TargetError::new(what).caused_by(error),
    };
    let told = TargetError::new(format!("{what}: {}", message(&status)));
    match status.code {
        401 => told.help("the credentials of this context are not accepted: log in again"),
        403 => told.help("this user lacks the right: see `kubectl auth can-i --list`"),
        404 if is_missing_kind(&status) => told.help(
            "the cluster does not know this kind: install its CustomResourceDefinition, or switch off what asks for it",
        ),
        429 | 500.. => told.help("the cluster has too much to do or is not well: try again"),
        _ => told,
    }
}

/// The server's words; admission webhooks and field errors are in them.
pub(crate) fn message(status: &Status) -> String {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    match status.message.trim() {
        "" => causes.iter().map(|cause| cause.message.clone()).collect::<Vec<_>>().join("; "),
        text => text.to_owned(),
    }
}

/// Whether no object but the whole kind is missing.
pub(crate) fn is_missing_kind(status: &Status) -> bool {
    let of_object = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    status.code == 404 && !of_object
}

/// Whether the namespace is missing that the object should be in.
pub(crate) fn is_missing_namespace(status: &Status) -> bool {
    status.code == 404 && status.details.as_ref().is_some_and(|details| details.kind == "namespaces")
}

/// The fields of a server-side apply that others own, if that is why it was refused.
pub(crate) fn conflicts(status: &Status) -> Vec<Conflict> {
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    causes.iter().filter(|cause| cause.reason == "FieldManagerConflict").map(conflict).collect()
}

fn conflict(cause: &StatusCause) -> Conflict {
    let manager = cause.message.strip_prefix("conflict with ").unwrap_or(&cause.message);
    Conflict { manager: manager.to_owned(), field: cause.field.clone() }
}

/// Whether an update was refused since fields cannot be changed in place; which, in the server's words.
pub(crate) fn immutable(status: &Status) -> Option<String> {
    if status.code != 422 {
        return None;
    }
    let causes = &status.details.as_ref()?.causes;
    let is_immutable = |cause: &&StatusCause| {
        cause.message.contains("immutable") || cause.message.contains("updates to statefulset spec")
    };
    // Other causes would be in the way of a new object too.
    let all: Vec<_> = causes.iter().filter(is_immutable).collect();
    (!all.is_empty() && all.len() == causes.len()).then(|| {
        all.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect::<Vec<_>>().join("; ")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(value: serde_json::Value) -> Status {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn conflicts_name_manager_and_field() {
        let refused =
            status(json!({"status": "Failure", "code": 409, "reason": "Conflict", "message": "Apply failed",
            "details": {"causes": [{"reason": "FieldManagerConflict", "field": ".spec.replicas",
                "message": "conflict with \"kubectl\" with subresource \"scale\" using apps/v1"}]}}));
        let found = conflicts(&refused);
        assert_eq!(found[0].field, ".spec.replicas");
        assert_eq!(found[0].manager, "\"kubectl\" with subresource \"scale\" using apps/v1");
        assert_eq!(immutable(&refused), None);
    }

    #[test]
    fn what_cannot_be_changed_in_place_is_told_from_what_is_wrong() {
        let cause =
            |message: &str| json!({"reason": "FieldValueForbidden", "field": "spec", "message": message});
        let refused = |causes: Vec<serde_json::Value>| {
            status(
                json!({"status": "Failure", "code": 422, "message": "invalid", "details": {"causes": causes}}),
            )
        };
        let fixed =
            cause("Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden");
        assert!(immutable(&refused(vec![fixed.clone()])).is_some());
        assert_eq!(immutable(&refused(vec![fixed, cause("Invalid value: -1")])), None);
        assert_eq!(immutable(&refused(Vec::new())), None);
    }
}
