//! The pgstream extension.
