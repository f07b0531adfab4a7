//! Every manifest, process definition and generated configuration file, as handlebars templates.
