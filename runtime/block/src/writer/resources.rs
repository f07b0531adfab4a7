//! Resources and scopes: decoded once a row group, then repeated.

use tempoform_core::protobuf::{Fields, Value, WireError};

use super::attributes::{AnyValue, AttributeBuffers, AttributeColumns, key_value};
use super::columns::{DictColumn, SlotColumn};
use super::dictionary::Dictionary;
use crate::dedicated::{DedicatedColumn, DedicatedScope, DedicatedType, PROMOTED_RESOURCE, SERVICE_NAME};
use crate::schema::v4;

/// The columns of resources: one entry for each time a trace has one.
#[derive(Debug)]
pub(super) struct ResourceColumns {
    known: Dictionary,
    records: Vec<ResourceRecord>,
    /// Keys with an optional column, and its index in `slots`.
    special: Vec<(Box<[u8]>, usize)>,
    pub(super) reps: Vec<u8>,
    pub(super) attributes: AttributeColumns,
    pub(super) dropped_attributes: Vec<i32>,
    pub(super) service: DictColumn,
    /// Promoted attributes, then dedicated ones, as the leaves stand.
    pub(super) slots: Vec<SlotColumn>,
}

#[derive(Debug)]
struct ResourceRecord {
    attributes: AttributeBuffers,
    dropped_attributes: i32,
    service: u32,
    slots: Vec<(usize, u32)>,
}

/// The columns of scopes.
#[derive(Debug)]
pub(super) struct ScopeColumns {
    known: Dictionary,
    records: Vec<ScopeRecord>,
    pub(super) reps: Vec<u8>,
    pub(super) name: DictColumn,
    pub(super) version: DictColumn,
    pub(super) attributes: AttributeColumns,
    pub(super) dropped_attributes: Vec<i32>,
}

#[derive(Debug)]
struct ScopeRecord {
    attributes: AttributeBuffers,
    dropped_attributes: i32,
    name: u32,
    version: u32,
}

/// The dedicated string attributes of `scope`, at most ten, in the order of their slots.
pub(super) fn dedicated_names(
    columns: &[DedicatedColumn],
    scope: DedicatedScope,
) -> impl Iterator<Item = &[u8]> {
    columns
        .iter()
        .filter(move |column| column.scope == scope && column.value_type == DedicatedType::String)
        .take(v4::DEDICATED_SLOTS as usize)
        .map(|column| column.name.as_bytes())
}

/// Definition level of a resource that is there.
const RESOURCE_DEF: u8 = 1;
/// Definition level of a scope that is there.
const SCOPE_DEF: u8 = 2;

impl ResourceColumns {
    pub(super) fn new(columns: &[DedicatedColumn]) -> Self {
        let promoted = PROMOTED_RESOURCE.iter().map(|(key, _)| key.as_bytes());
        let names = promoted.chain(dedicated_names(columns, DedicatedScope::Resource));
        let slots = PROMOTED_RESOURCE.len() + v4::DEDICATED_SLOTS as usize;
        Self {
            known: Dictionary::default(),
            records: Vec::new(),
            special: names.zip(0..).map(|(name, slot)| (name.into(), slot)).collect(),
            reps: Vec::new(),
            attributes: AttributeColumns::new(RESOURCE_DEF + 1),
            dropped_attributes: Vec::new(),
            service: DictColumn::default(),
            slots: std::iter::repeat_with(SlotColumn::default).take(slots).collect(),
        }
    }

    /// The number of the resource with this body; counts attributes that cannot be read.
    pub(super) fn number(&mut self, body: &[u8], malformed: &mut u64) -> u32 {
        let number = self.known.intern(body);
        if number as usize == self.records.len() {
            let record = self.record(body, malformed);
            self.records.push(record);
        }
        number
    }

    /// Adds the resource with this number to the page.
    pub(super) fn push(&mut self, number: u32, rep: u8) {
        let record = &self.records[number as usize];
        let at = self.reps.len() as u32;
        self.reps.push(rep);
        self.attributes.buffers.append(&record.attributes, rep);
        self.dropped_attributes.push(record.dropped_attributes);
        self.service.numbers.push(record.service);
        for (slot, value) in &record.slots {
            self.slots[*slot].entries.push((at, *value));
        }
    }

    /// The number of its `service.name` in the dictionary of services.
    pub(super) fn service_of(&self, number: u32) -> u32 {
        self.records[number as usize].service
    }

    fn record(&mut self, body: &[u8], malformed: &mut u64) -> ResourceRecord {
        let Entity { mut attributes, dropped_attributes, .. } =
            Entity::read(body, &RESOURCE_FIELDS, malformed);
        // As Tempo does.
        attributes.sort_by_key(|(key, _)| *key);
        let mut service = None;
        let mut slots = Vec::new();
        let mut generic = Vec::with_capacity(attributes.len());
        for (key, value) in attributes {
            let slot = self.special.iter().find(|(name, _)| **name == *key).map(|(_, slot)| *slot);
            match (value, slot) {
                // An empty name would read back as none.
                (AnyValue::Text(text), _)
                    if key == SERVICE_NAME.as_bytes() && !text.is_empty() && service.is_none() =>
                {
                    service = Some(self.service.dictionary.intern(text));
                }
                (AnyValue::Text(text), Some(slot)) if slots.iter().all(|(taken, _)| *taken != slot) => {
                    slots.push((slot, self.slots[slot].dictionary.intern(text)));
                }
                _ => generic.push((key, value)),
            }
        }
        ResourceRecord {
            attributes: self.attributes.record(&generic, RESOURCE_DEF),
            dropped_attributes,
            service: service.unwrap_or_else(|| self.service.dictionary.intern(b"")),
            slots,
        }
    }

    pub(super) fn end_page(&mut self) {
        self.reps.clear();
        self.attributes.buffers.clear();
        self.dropped_attributes.clear();
        self.service.numbers.clear();
        self.slots.iter_mut().for_each(|slot| slot.entries.clear());
    }

    pub(super) fn end_row_group(&mut self) {
        self.known.clear();
        self.records.clear();
    }
}

impl ScopeColumns {
    pub(super) fn new() -> Self {
        Self {
            known: Dictionary::default(),
            records: Vec::new(),
            reps: Vec::new(),
            name: DictColumn::default(),
            version: DictColumn::default(),
            attributes: AttributeColumns::new(SCOPE_DEF + 1),
            dropped_attributes: Vec::new(),
        }
    }

    /// The number of the scope with this body; counts attributes that cannot be read.
    pub(super) fn number(&mut self, body: &[u8], malformed: &mut u64) -> u32 {
        let number = self.known.intern(body);
        if number as usize == self.records.len() {
            let scope = Entity::read(body, &SCOPE_FIELDS, malformed);
            let record = ScopeRecord {
                attributes: self.attributes.record(&scope.attributes, SCOPE_DEF),
                dropped_attributes: scope.dropped_attributes,
                name: self.name.dictionary.intern(scope.name),
                version: self.version.dictionary.intern(scope.version),
            };
            self.records.push(record);
        }
        number
    }

    /// Adds the scope with this number to the page.
    pub(super) fn push(&mut self, number: u32, rep: u8) {
        let record = &self.records[number as usize];
        self.reps.push(rep);
        self.attributes.buffers.append(&record.attributes, rep);
        self.dropped_attributes.push(record.dropped_attributes);
        self.name.numbers.push(record.name);
        self.version.numbers.push(record.version);
    }

    pub(super) fn end_page(&mut self) {
        self.reps.clear();
        self.attributes.buffers.clear();
        self.dropped_attributes.clear();
        self.name.numbers.clear();
        self.version.numbers.clear();
    }

    pub(super) fn end_row_group(&mut self) {
        self.known.clear();
        self.records.clear();
    }
}

/// Field numbers of a `Resource` or an `InstrumentationScope`.
struct EntityFields {
    name: u32,
    version: u32,
    attributes: u32,
    dropped_attributes: u32,
}

/// A resource has neither name nor version; 0 is no field's number.
const RESOURCE_FIELDS: EntityFields =
    EntityFields { name: 0, version: 0, attributes: 1, dropped_attributes: 2 };
const SCOPE_FIELDS: EntityFields = EntityFields { name: 1, version: 2, attributes: 3, dropped_attributes: 4 };

/// A `Resource` or an `InstrumentationScope`.
#[derive(Default)]
struct Entity<'a> {
    name: &'a [u8],
    version: &'a [u8],
    attributes: Vec<(&'a [u8], AnyValue<'a>)>,
    dropped_attributes: i32,
}

impl<'a> Entity<'a> {
    fn read(body: &'a [u8], numbers: &EntityFields, malformed: &mut u64) -> Self {
        let mut entity = Self::default();
        if entity.read_fields(body, numbers, malformed).is_err() {
            *malformed += 1;
        }
        entity
    }

    fn read_fields(
        &mut self,
        body: &'a [u8],
        numbers: &EntityFields,
        malformed: &mut u64,
    ) -> Result<(), WireError> {
        let mut fields = Fields::new(body);
        while let Some((number, value)) = fields.next_field()? {
            match value {
                Value::Bytes(name) if number == numbers.name => self.name = name,
                Value::Bytes(version) if number == numbers.version => self.version = version,
                Value::Bytes(attribute) if number == numbers.attributes => match key_value(attribute) {
                    Ok(attribute) => self.attributes.push(attribute),
                    Err(_) => *malformed += 1,
                },
                Value::Varint(count) if number == numbers.dropped_attributes => {
                    self.dropped_attributes = count as i32;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
