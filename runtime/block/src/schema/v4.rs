//! vParquet4: 103 leaves, whose number and order never change, since Tempo reads them by position.

use super::Leaf;
use super::LeafCodec::{Snappy, Uncompressed};
use super::LeafEncoding::{Delta, DeltaLength, Dictionary, Plain};
use super::LeafType::{Bool, Bytes, Double, Int32, Int64, Text, UInt32, UInt64};
use super::leaf;

/// The leaves as Tempo writes them.
#[rustfmt::skip]
pub static LEAVES: [Leaf; 103] = [
    leaf("TraceID", Bytes, 0, 0, Uncompressed, DeltaLength),
    leaf("TraceIDText", Text, 0, 0, Snappy, DeltaLength),
    leaf("StartTimeUnixNano", UInt64, 0, 0, Uncompressed, Delta),
    leaf("EndTimeUnixNano", UInt64, 0, 0, Uncompressed, Delta),
    leaf("DurationNano", UInt64, 0, 0, Uncompressed, Delta),
    leaf("RootServiceName", Text, 0, 0, Uncompressed, Dictionary),
    leaf("RootSpanName", Text, 0, 0, Uncompressed, Dictionary),
    leaf("ServiceStats.key_value.key", Text, 1, 1, Uncompressed, DeltaLength),
    leaf("ServiceStats.key_value.value.SpanCount", UInt32, 1, 1, Uncompressed, Delta),
    leaf("ServiceStats.key_value.value.ErrorCount", UInt32, 1, 1, Uncompressed, Delta),
    leaf("rs.list.element.Resource.Attrs.list.element.Key", Text, 2, 2, Snappy, Dictionary),
    leaf("rs.list.element.Resource.Attrs.list.element.IsArray", Bool, 2, 2, Snappy, Plain),
    leaf("rs.list.element.Resource.Attrs.list.element.Value.list.element", Text, 3, 3, Snappy, Dictionary),
    leaf("rs.list.element.Resource.Attrs.list.element.ValueInt.list.element", Int64, 3, 3, Snappy, Plain),
    leaf("rs.list.element.Resource.Attrs.list.element.ValueDouble.list.element", Double, 3, 3, Snappy, Plain),
    leaf("rs.list.element.Resource.Attrs.list.element.ValueBool.list.element", Bool, 3, 3, Snappy, Plain),
    leaf("rs.list.element.Resource.Attrs.list.element.ValueUnsupported", Text, 3, 2, Snappy, DeltaLength),
    leaf("rs.list.element.Resource.DroppedAttributesCount", Int32, 1, 1, Snappy, Delta),
    leaf("rs.list.element.Resource.ServiceName", Text, 1, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.Cluster", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.Namespace", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.Pod", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.Container", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.K8sClusterName", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.K8sNamespaceName", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.K8sPodName", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.K8sContainerName", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.DedicatedAttributes.String01", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.DedicatedAttributes.String02", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.DedicatedAttributes.String03", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.DedicatedAttributes.String04", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.DedicatedAttributes.String05", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.DedicatedAttributes.String06", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.DedicatedAttributes.String07", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.DedicatedAttributes.String08", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.DedicatedAttributes.String09", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.Resource.DedicatedAttributes.String10", Text, 2, 1, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Scope.Name", Text, 2, 2, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Scope.Version", Text, 2, 2, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Scope.Attrs.list.element.Key", Text, 3, 3, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Scope.Attrs.list.element.IsArray", Bool, 3, 3, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Scope.Attrs.list.element.Value.list.element", Text, 4, 4, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Scope.Attrs.list.element.ValueInt.list.element", Int64, 4, 4, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Scope.Attrs.list.element.ValueDouble.list.element", Double, 4, 4, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Scope.Attrs.list.element.ValueBool.list.element", Bool, 4, 4, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Scope.Attrs.list.element.ValueUnsupported", Text, 4, 3, Snappy, DeltaLength),
    leaf("rs.list.element.ss.list.element.Scope.DroppedAttributesCount", Int32, 2, 2, Snappy, Delta),
    leaf("rs.list.element.ss.list.element.Spans.list.element.SpanID", Bytes, 3, 3, Uncompressed, DeltaLength),
    leaf("rs.list.element.ss.list.element.Spans.list.element.ParentSpanID", Bytes, 3, 3, Uncompressed, DeltaLength),
    leaf("rs.list.element.ss.list.element.Spans.list.element.ParentID", Int32, 3, 3, Uncompressed, Delta),
    leaf("rs.list.element.ss.list.element.Spans.list.element.NestedSetLeft", Int32, 3, 3, Uncompressed, Delta),
    leaf("rs.list.element.ss.list.element.Spans.list.element.NestedSetRight", Int32, 3, 3, Uncompressed, Delta),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Name", Text, 3, 3, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Kind", Int64, 3, 3, Uncompressed, Delta),
    leaf("rs.list.element.ss.list.element.Spans.list.element.TraceState", Text, 3, 3, Snappy, DeltaLength),
    leaf("rs.list.element.ss.list.element.Spans.list.element.StartTimeUnixNano", UInt64, 3, 3, Uncompressed, Delta),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DurationNano", UInt64, 3, 3, Uncompressed, Delta),
    leaf("rs.list.element.ss.list.element.Spans.list.element.StatusCode", Int64, 3, 3, Uncompressed, Delta),
    leaf("rs.list.element.ss.list.element.Spans.list.element.StatusMessage", Text, 3, 3, Snappy, DeltaLength),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Attrs.list.element.Key", Text, 4, 4, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Attrs.list.element.IsArray", Bool, 4, 4, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Attrs.list.element.Value.list.element", Text, 5, 5, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Attrs.list.element.ValueInt.list.element", Int64, 5, 5, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Attrs.list.element.ValueDouble.list.element", Double, 5, 5, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Attrs.list.element.ValueBool.list.element", Bool, 5, 5, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Attrs.list.element.ValueUnsupported", Text, 5, 4, Snappy, DeltaLength),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DroppedAttributesCount", Int32, 3, 3, Snappy, Delta),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Events.list.element.TimeSinceStartNano", UInt64, 4, 4, Uncompressed, Delta),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Events.list.element.Name", Text, 4, 4, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Events.list.element.Attrs.list.element.Key", Text, 5, 5, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Events.list.element.Attrs.list.element.IsArray", Bool, 5, 5, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Events.list.element.Attrs.list.element.Value.list.element", Text, 6, 6, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Events.list.element.Attrs.list.element.ValueInt.list.element", Int64, 6, 6, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Events.list.element.Attrs.list.element.ValueDouble.list.element", Double, 6, 6, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Events.list.element.Attrs.list.element.ValueBool.list.element", Bool, 6, 6, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Events.list.element.Attrs.list.element.ValueUnsupported", Text, 6, 5, Snappy, DeltaLength),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Events.list.element.DroppedAttributesCount", Int32, 4, 4, Snappy, Delta),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DroppedEventsCount", Int32, 3, 3, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Links.list.element.TraceID", Bytes, 4, 4, Uncompressed, DeltaLength),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Links.list.element.SpanID", Bytes, 4, 4, Uncompressed, DeltaLength),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Links.list.element.TraceState", Text, 4, 4, Snappy, DeltaLength),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Links.list.element.Attrs.list.element.Key", Text, 5, 5, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Links.list.element.Attrs.list.element.IsArray", Bool, 5, 5, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Links.list.element.Attrs.list.element.Value.list.element", Text, 6, 6, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Links.list.element.Attrs.list.element.ValueInt.list.element", Int64, 6, 6, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Links.list.element.Attrs.list.element.ValueDouble.list.element", Double, 6, 6, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Links.list.element.Attrs.list.element.ValueBool.list.element", Bool, 6, 6, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Links.list.element.Attrs.list.element.ValueUnsupported", Text, 6, 5, Snappy, DeltaLength),
    leaf("rs.list.element.ss.list.element.Spans.list.element.Links.list.element.DroppedAttributesCount", Int32, 4, 4, Snappy, Delta),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DroppedLinksCount", Int32, 3, 3, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.HttpMethod", Text, 4, 3, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.HttpUrl", Text, 4, 3, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.HttpStatusCode", Int64, 4, 3, Snappy, Plain),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DedicatedAttributes.String01", Text, 4, 3, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DedicatedAttributes.String02", Text, 4, 3, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DedicatedAttributes.String03", Text, 4, 3, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DedicatedAttributes.String04", Text, 4, 3, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DedicatedAttributes.String05", Text, 4, 3, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DedicatedAttributes.String06", Text, 4, 3, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DedicatedAttributes.String07", Text, 4, 3, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DedicatedAttributes.String08", Text, 4, 3, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DedicatedAttributes.String09", Text, 4, 3, Snappy, Dictionary),
    leaf("rs.list.element.ss.list.element.Spans.list.element.DedicatedAttributes.String10", Text, 4, 3, Snappy, Dictionary),
];

/// Where the leaves that are not part of a run stand.
pub mod at {
    #![expect(missing_docs, reason = "each is the path of the leaf, which a test checks")]
    pub const TRACE_ID: usize = 0;
    pub const TRACE_ID_TEXT: usize = 1;
    pub const START_TIME: usize = 2;
    pub const END_TIME: usize = 3;
    pub const DURATION: usize = 4;
    pub const ROOT_SERVICE_NAME: usize = 5;
    pub const ROOT_SPAN_NAME: usize = 6;
    pub const STATS_SERVICE: usize = 7;
    pub const STATS_SPANS: usize = 8;
    pub const STATS_ERRORS: usize = 9;
    /// First of the seven leaves of the generic attributes, see [`super::attribute`].
    pub const RESOURCE_ATTRIBUTES: usize = 10;
    pub const RESOURCE_DROPPED_ATTRIBUTES: usize = 17;
    pub const SERVICE_NAME: usize = 18;
    /// First of [`crate::dedicated::PROMOTED_RESOURCE`], in that order.
    pub const RESOURCE_PROMOTED: usize = 19;
    /// `String01` of ten.
    pub const RESOURCE_DEDICATED: usize = 27;
    pub const SCOPE_NAME: usize = 37;
    pub const SCOPE_VERSION: usize = 38;
    pub const SCOPE_ATTRIBUTES: usize = 39;
    pub const SCOPE_DROPPED_ATTRIBUTES: usize = 46;
    pub const SPAN_ID: usize = 47;
    pub const PARENT_SPAN_ID: usize = 48;
    pub const PARENT_ID: usize = 49;
    pub const NESTED_SET_LEFT: usize = 50;
    pub const NESTED_SET_RIGHT: usize = 51;
    pub const SPAN_NAME: usize = 52;
    pub const KIND: usize = 53;
    pub const TRACE_STATE: usize = 54;
    pub const SPAN_START_TIME: usize = 55;
    pub const SPAN_DURATION: usize = 56;
    pub const STATUS_CODE: usize = 57;
    pub const STATUS_MESSAGE: usize = 58;
    pub const SPAN_ATTRIBUTES: usize = 59;
    pub const SPAN_DROPPED_ATTRIBUTES: usize = 66;
    pub const EVENT_TIME: usize = 67;
    pub const EVENT_NAME: usize = 68;
    pub const EVENT_ATTRIBUTES: usize = 69;
    pub const EVENT_DROPPED_ATTRIBUTES: usize = 76;
    pub const DROPPED_EVENTS: usize = 77;
    pub const LINK_TRACE_ID: usize = 78;
    pub const LINK_SPAN_ID: usize = 79;
    pub const LINK_TRACE_STATE: usize = 80;
    pub const LINK_ATTRIBUTES: usize = 81;
    pub const LINK_DROPPED_ATTRIBUTES: usize = 88;
    pub const DROPPED_LINKS: usize = 89;
    pub const HTTP_METHOD: usize = 90;
    pub const HTTP_URL: usize = 91;
    pub const HTTP_STATUS_CODE: usize = 92;
    /// `String01` of ten.
    pub const SPAN_DEDICATED: usize = 93;
}

/// Offsets of the leaves of a generic attribute from the first of them.
pub mod attribute {
    #![expect(missing_docs, reason = "each is the name of the leaf, which a test checks")]
    pub const KEY: usize = 0;
    pub const IS_ARRAY: usize = 1;
    pub const VALUE: usize = 2;
    pub const VALUE_INT: usize = 3;
    pub const VALUE_DOUBLE: usize = 4;
    pub const VALUE_BOOL: usize = 5;
    pub const VALUE_UNSUPPORTED: usize = 6;
}

/// Slots for dedicated columns on resources, and as many on spans.
pub const DEDICATED_SLOTS: u32 = 10;
