//! Configuration: what was typed (flags, environment, files) and the checked plan made of it.

pub mod plan;
