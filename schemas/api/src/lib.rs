//! The Tempo custom resource: types, defaults, validation, CRD.
