//! The pgstream extension: what SQL alone cannot do.
//!
//! Everything else is in `sql/`, whose files make up the install script (`extension/install.sh`). The library needs no
//! preloading: a session loads it with its first call of one of its functions.
#![allow(unsafe_code)] // hand-written only in `pg`, `ddl_text` and `cork`; elsewhere it comes from pgrx's macros
#![deny(clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]

mod cork;
mod ddl_text;
mod init;
mod pg;

use pgrx::pg_guard;

pgrx::pg_module_magic!(name, version);

/// Called by the server once in each session that loads the library.
#[allow(missing_docs)]
#[pg_guard]
extern "C-unwind" fn _PG_init() {
    ddl_text::install();
    cork::define_setting();
}
