//! How we speak to a PostgreSQL server.
//!
//! ```text
//! conninfo   what the user wrote: a URL or keywords        -> ConnInfo
//! transport  TCP or unix socket, TLS by sslmode            -> Stream
//! wire       start-up, authentication, framing             -> Wire (replication, pipelined statements)
//! sql        everything else, through tokio-postgres       -> tokio_postgres::Client
//! ```
//!
//! Replication needs CopyBoth, separate write/flush/apply positions and control of when the socket is read; applying needs many statements
//! in flight under one Sync, so that an error stops all that follow. No crate offers these, so the wire is ours, over `postgres-protocol`.

pub mod conninfo;
pub mod pipeline;
pub mod relay;
pub mod sql;
pub mod transport;
pub mod wire;
