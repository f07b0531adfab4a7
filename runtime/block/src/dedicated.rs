//! Dedicated columns: attributes that have a Parquet column of their own in a block.

use serde::{Deserialize, Serialize};

use crate::meta::BlockVersion;

/// Where a dedicated attribute stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DedicatedScope {
    /// On spans; the default, left out in JSON.
    #[default]
    Span,
    /// On resources.
    Resource,
    /// On events; vParquet5 only.
    Event,
}

/// The type of the values that go to the column; others stay among the generic attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DedicatedType {
    /// Strings; the default, left out in JSON.
    #[default]
    String,
    /// 64-bit integers; vParquet5 only.
    Int,
}

/// How the column is stored. Neither changes how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DedicatedOption {
    /// May hold arrays; without effect, all vParquet5 slots may.
    Array,
    /// Long values: zstd, no dictionary.
    Blob,
}

/// One entry of `dedicatedColumns` in meta.json: `{"s":scope,"n":name,"t":type,"o":[options]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, PartialOrd, Ord)]
pub struct DedicatedColumn {
    /// Where the attribute stands.
    #[serde(rename = "s", default, skip_serializing_if = "is_default")]
    pub scope: DedicatedScope,
    /// The attribute's key.
    #[serde(rename = "n", default)]
    pub name: String,
    /// Its type.
    #[serde(rename = "t", default, skip_serializing_if = "is_default")]
    pub value_type: DedicatedType,
    /// How it is stored.
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<DedicatedOption>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl DedicatedColumn {
    /// A string attribute's column without options.
    pub fn string(scope: DedicatedScope, name: &str) -> Self {
        Self { scope, name: name.to_owned(), ..Self::default() }
    }

    /// An integer attribute's column without options.
    pub fn int(scope: DedicatedScope, name: &str) -> Self {
        Self { scope, name: name.to_owned(), value_type: DedicatedType::Int, ..Self::default() }
    }
}

impl From<&tempoform_config::DedicatedColumn> for DedicatedColumn {
    fn from(column: &tempoform_config::DedicatedColumn) -> Self {
        use tempoform_config::{ColumnOption, ColumnScope, ColumnType};
        Self {
            scope: match column.scope {
                ColumnScope::Span => DedicatedScope::Span,
                ColumnScope::Resource => DedicatedScope::Resource,
                ColumnScope::Event => DedicatedScope::Event,
            },
            name: column.name.clone(),
            value_type: match column.kind {
                ColumnType::String => DedicatedType::String,
                ColumnType::Int => DedicatedType::Int,
            },
            options: column
                .options
                .iter()
                .map(|option| match option {
                    ColumnOption::Array => DedicatedOption::Array,
                    ColumnOption::Blob => DedicatedOption::Blob,
                })
                .collect(),
        }
    }
}

/// Resource attributes with a promoted column in vParquet3 and 4, and the column's name.
pub const PROMOTED_RESOURCE: [(&str, &str); 8] = [
    ("cluster", "Cluster"),
    ("namespace", "Namespace"),
    ("pod", "Pod"),
    ("container", "Container"),
    ("k8s.cluster.name", "K8sClusterName"),
    ("k8s.namespace.name", "K8sNamespaceName"),
    ("k8s.pod.name", "K8sPodName"),
    ("k8s.container.name", "K8sContainerName"),
];

/// The resource attribute whose column (`ServiceName`) every version has.
pub const SERVICE_NAME: &str = "service.name";

/// String span attributes with a promoted column in vParquet3 and 4, and the column's name.
pub const PROMOTED_SPAN: [(&str, &str); 2] = [("http.method", "HttpMethod"), ("http.url", "HttpUrl")];

/// The integer span attribute with a promoted column (`HttpStatusCode`) in vParquet3 and 4.
pub const HTTP_STATUS_CODE: &str = "http.status_code";

/// The list Tempo uses when nothing is configured, before filtering.
pub fn default_dedicated_columns() -> Vec<DedicatedColumn> {
    use DedicatedScope::{Resource, Span};
    let resource = ["k8s.cluster.name", "k8s.namespace.name", "k8s.pod.name", "k8s.container.name"];
    let mut columns: Vec<_> =
        resource.into_iter().map(|name| DedicatedColumn::string(Resource, name)).collect();
    columns.extend([
        DedicatedColumn::string(Span, "http.request.method"),
        DedicatedColumn::int(Span, "http.response.status_code"),
        DedicatedColumn::string(Span, "url.path"),
        DedicatedColumn::string(Span, "url.route"),
        DedicatedColumn::string(Span, "server.address"),
        DedicatedColumn::int(Span, "server.port"),
        DedicatedColumn::string(Span, "http.method"),
        DedicatedColumn::string(Span, "http.url"),
        DedicatedColumn::string(Span, "http.route"),
        DedicatedColumn::int(Span, "http.status_code"),
    ]);
    columns
}

/// The entries of `columns` that a block of `version` has columns for: this list, not the
/// configured one, goes into meta.json, because its order is the mapping of slots.
pub fn filter_for_version(version: &BlockVersion, columns: &[DedicatedColumn]) -> Vec<DedicatedColumn> {
    let fits = |column: &&DedicatedColumn| match version {
        BlockVersion::VParquet3 | BlockVersion::VParquet4 => fits_fixed_schema(column),
        BlockVersion::VParquet5 | BlockVersion::Other(_) => true,
    };
    columns.iter().filter(fits).cloned().collect()
}

fn fits_fixed_schema(column: &DedicatedColumn) -> bool {
    let promoted = match column.scope {
        DedicatedScope::Resource => {
            column.name == SERVICE_NAME || PROMOTED_RESOURCE.iter().any(|(name, _)| *name == column.name)
        }
        DedicatedScope::Span => PROMOTED_SPAN.iter().any(|(name, _)| *name == column.name),
        DedicatedScope::Event => return false,
    };
    !promoted && column.value_type == DedicatedType::String && column.options.is_empty()
}

/// A slot: the `String01` or `Int03` that holds a dedicated attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Type of the slot.
    pub value_type: DedicatedType,
    /// Number, from 1.
    pub number: u32,
}

impl Slot {
    /// The leaf's name: `String01`, `Int03`.
    pub fn column_name(self) -> String {
        match self.value_type {
            DedicatedType::String => format!("String{:02}", self.number),
            DedicatedType::Int => format!("Int{:02}", self.number),
        }
    }
}

/// The slot of each column of a meta's list: per scope and type, in list order. Columns beyond
/// `strings` or `ints` slots have none, their attributes stay generic.
pub fn assign_slots(
    columns: &[DedicatedColumn],
    strings: u32,
    ints: u32,
) -> impl Iterator<Item = (&DedicatedColumn, Slot)> {
    let mut used = std::collections::HashMap::new();
    columns.iter().filter_map(move |column| {
        let number = used.entry((column.scope, column.value_type)).or_insert(0u32);
        *number += 1;
        let available = match column.value_type {
            DedicatedType::String => strings,
            DedicatedType::Int => ints,
        };
        (*number <= available).then_some((column, Slot { value_type: column.value_type, number: *number }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_list_for_vparquet4_is_what_tempo_stores() {
        let columns = filter_for_version(&BlockVersion::VParquet4, &default_dedicated_columns());
        assert_eq!(
            serde_json::to_string(&columns).unwrap(),
            r#"[{"n":"http.request.method"},{"n":"url.path"},{"n":"url.route"},{"n":"server.address"},{"n":"http.route"}]"#
        );
    }

    #[test]
    fn compact_json_round_trips() {
        let json =
            r#"[{"s":"resource","n":"ip"},{"n":"a","t":"int"},{"n":"b","o":["blob"]},{"s":"event","n":"c"}]"#;
        let columns: Vec<DedicatedColumn> = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&columns).unwrap(), json);
    }

    #[test]
    fn slots_count_per_scope_and_type() {
        let columns = default_dedicated_columns();
        let slots: Vec<_> = assign_slots(&columns, 10, 5)
            .map(|(column, slot)| (column.name.as_str(), slot.column_name()))
            .collect();
        assert!(slots.contains(&("k8s.container.name", "String04".into())));
        assert!(slots.contains(&("http.request.method", "String01".into())));
        assert!(slots.contains(&("server.port", "Int02".into())));
        assert!(slots.contains(&("http.route", "String07".into())));
    }

    #[test]
    fn columns_beyond_the_slots_have_none() {
        let columns: Vec<_> =
            (0..12).map(|i| DedicatedColumn::string(DedicatedScope::Span, &format!("a{i}"))).collect();
        assert_eq!(assign_slots(&columns, 10, 5).count(), 10);
    }
}
