//! pgstream sidecar.
#![forbid(unsafe_code)]
