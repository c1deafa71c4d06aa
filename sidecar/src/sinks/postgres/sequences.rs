//! Sequences move forward to the source's values: the stream carries rows, not `nextval`.

use super::session::{Session, Step};
use crate::error::Result;
use crate::event::Value;
use crate::sinks::SequenceValues;

/// Forward is where the sequence counts to. One the target does not have, or with narrower bounds, is passed over.
const SET: &str = "select pg_catalog.setval(s.seqrelid::pg_catalog.regclass, $2::pg_catalog.int8)
from pg_catalog.pg_sequence s
cross join lateral (select pg_catalog.pg_sequence_last_value(s.seqrelid) as value) last
where s.seqrelid = pg_catalog.to_regclass($1::pg_catalog.text) and $2::pg_catalog.int8 between s.seqmin and s.seqmax
  and (last.value is null or case when s.seqincrement > 0 then last.value < $2::pg_catalog.int8 else last.value > $2::pg_catalog.int8 end)";

/// One that was used here stays as it is.
const BEGIN: &str =
    "select pg_catalog.setval(s.seqrelid::pg_catalog.regclass, $2::pg_catalog.int8, false) from pg_catalog.pg_sequence s
where s.seqrelid = pg_catalog.to_regclass($1::pg_catalog.text) and $2::pg_catalog.int8 between s.seqmin and s.seqmax
  and pg_catalog.pg_sequence_last_value(s.seqrelid) is null";

/// Moves sequences forward to those values.
pub(super) async fn set(session: &mut Session, values: &SequenceValues) -> Result<()> {
    send(session, SET, values).await
}

/// Sets what the first value of unused sequences will be.
pub(super) async fn begin(session: &mut Session, values: &SequenceValues) -> Result<()> {
    send(session, BEGIN, values).await
}

/// Sends all values in one round.
async fn send(session: &mut Session, sql: &str, values: &SequenceValues) -> Result<()> {
    for (name, value) in values {
        let value = value.to_string();
        session.execute(Step::Own, sql, [Value::Text(name.as_bytes()), Value::Text(value.as_bytes())])?;
    }
    session.sync().await.map(drop).map_err(|error| error.context("cannot set sequences"))
}
