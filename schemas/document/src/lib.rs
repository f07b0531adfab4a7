//! YAML documents with positions, schema checks that find every problem, and human units.
