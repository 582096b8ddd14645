//! What crosses, judged from outside: every promise of `spec/bundle.md` that a user would miss.

mod acceptance;
mod bundles;
mod charters;
mod hostile;
mod notes;
mod parcels;
mod status;
mod support;
mod vectors;
