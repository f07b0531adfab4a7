use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Error, ErrorKind};

/// Header and gRPC metadata key that names the tenant.
pub const TENANT_HEADER: &str = "x-scope-orgid";

/// A listing passes over what Tempo keeps under these names, and so would it a tenant.
const OBJECTS_OF_TEMPO: [&str; 2] = ["tempo_cluster_seed.json", "work.json"];

/// A tenant's name, checked: it becomes a folder in the bucket. Cheap to clone.
///
/// 1 to 150 bytes of letters, digits and `! - _ . * ' ( )`, not `.` or `..`, as Tempo has it; nor the name
/// of an object that Tempo keeps beside the tenants' folders.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The one tenant of a deployment without multi-tenancy.
    pub fn single() -> Self {
        Self(Arc::from("single-tenant"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let invalid = |why: &str| Err(Error::new(ErrorKind::Invalid, format!("tenant id {name:?}: {why}")));
        if name.is_empty() {
            return invalid("is empty");
        }
        if name.len() > 150 {
            return invalid("is longer than 150 bytes");
        }
        if name == "." || name == ".." {
            return invalid("is not a name");
        }
        if OBJECTS_OF_TEMPO.contains(&name) {
            return invalid("is the name of an object that Tempo keeps in the bucket");
        }
        match name.chars().find(|c| !c.is_ascii_alphanumeric() && !"!-_.*'()".contains(*c)) {
            Some(c) => invalid(&format!("contains {c:?}; allowed are letters, digits and ! - _ . * ' ( )")),
            None => Ok(Self(Arc::from(name))),
        }
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_listing_would_not_find_again_are_refused() {
        for name in
            ["", ".", "..", "a/b", "a b", "\u{e4}", "work.json", "tempo_cluster_seed.json", &"a".repeat(151)]
        {
            assert_eq!(
                name.parse::<TenantId>().map_err(|error| error.kind()),
                Err(ErrorKind::Invalid),
                "{name}"
            );
        }
        for name in ["a", "work.jso", "...", "!-_.*'()", &"a".repeat(150)] {
            assert_eq!(name.parse::<TenantId>().unwrap().as_str(), name);
        }
    }
}
