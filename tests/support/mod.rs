//! Private servers and the sidecar under test.
