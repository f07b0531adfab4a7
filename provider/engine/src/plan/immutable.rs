//! Fields that Kubernetes does not let change on an existing object.

use super::FieldDiff;

const IMMUTABLE: [(&str, &[&str]); 8] = [
    ("StatefulSet", &["spec", "selector"]),
    ("StatefulSet", &["spec", "serviceName"]),
    ("StatefulSet", &["spec", "volumeClaimTemplates"]),
    ("StatefulSet", &["spec", "podManagementPolicy"]),
    ("Deployment", &["spec", "selector"]),
    ("Service", &["spec", "clusterIP"]),
    ("Job", &["spec", "template"]),
    ("RoleBinding", &["roleRef"]),
];

/// Notes which of the fields force a replacement; true if any does.
pub(super) fn mark(kind: &str, fields: &mut [FieldDiff]) -> bool {
    let mut replaces = false;
    for field in fields {
        if IMMUTABLE.iter().any(|(of, path)| *of == kind && field.path.starts_with(path)) {
            field.note = Some("forces replacement".to_owned());
            replaces = true;
        }
    }
    replaces
}
