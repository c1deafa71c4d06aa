//! What happens between source and sink.
