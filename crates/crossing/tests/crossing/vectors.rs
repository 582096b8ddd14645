//! Vectors: later.
