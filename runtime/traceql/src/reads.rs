//! Which types of which fields an evaluation looks at.

use std::collections::HashMap;

use crate::{Condition, Field, Reads};

/// Types of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Types {
    /// Strings.
    pub strings: bool,
    /// Integers.
    pub ints: bool,
    /// Floats.
    pub floats: bool,
    /// Booleans.
    pub bools: bool,
}

impl Types {
    /// Every type.
    pub const ALL: Self = Self { strings: true, ints: true, floats: true, bools: true };

    /// The types of both.
    pub fn union(self, other: Self) -> Self {
        Self {
            strings: self.strings || other.strings,
            ints: self.ints || other.ints,
            floats: self.floats || other.floats,
            bools: self.bools || other.bools,
        }
    }
}

impl From<Reads> for Types {
    fn from(reads: Reads) -> Self {
        match reads {
            Reads::Strings => Self { strings: true, ..Self::default() },
            Reads::Ints => Self { ints: true, ..Self::default() },
            Reads::Floats => Self { floats: true, ..Self::default() },
            Reads::Bools => Self { bools: true, ..Self::default() },
            // What is looked for is a value of whatever type.
            Reads::Any | Reads::Absence => Self::ALL,
        }
    }
}

/// Fields and the types read of each, gathered from the parts of a query.
#[derive(Debug, Default)]
pub(crate) struct FieldTypes {
    fields: Vec<Field>,
    types: HashMap<Field, Types>,
}

impl FieldTypes {
    pub(crate) fn add(&mut self, field: &Field, types: Types) {
        let known = self.types.entry(field.clone()).or_insert_with(|| {
            self.fields.push(field.clone());
            Types::default()
        });
        *known = known.union(types);
    }

    /// Of several fields the first that has a value, of any type, decides: only of the last is it enough to know the
    /// values of the type that is compared.
    pub(crate) fn add_condition(&mut self, condition: &Condition) {
        let Some((last, before)) = condition.fields.split_last() else { return };
        before.iter().for_each(|field| self.add(field, Types::ALL));
        self.add(last, condition.reads().into());
    }

    pub(crate) fn into_list(mut self) -> Vec<(Field, Types)> {
        let types = &mut self.types;
        self.fields.into_iter().filter_map(|field| types.remove_entry(&field)).collect()
    }
}
