//! Where the streams of a topic's partitions wait for each other: a schema change is in each of them, and is run once.
//!
//! ```text
//! each stream   all before it durable ──reach──> "I stand at it"
//! the first     all stand at it ──> writes it, and its position behind it, in one transaction
//! the others    the first one's position is behind it ──> pass
//! ```
//!
//! Why it is run once and at the right place: it is written when every stream has all of its rows before it durable, and none has gone on; and
//! that it is written is told by the very position that was stored with it. Streams may be in different processes: all that is said is in
//! the target. A row a stream is enough, since streams meet barriers in the same order: whoever stands at a later one has passed this one.

use super::session::Session;
use crate::error::Result;
use crate::sinks::{Barrier, Passage};
use crate::source::slot::Identity;

/// Made with the table of positions.
pub(super) const CREATE: [&str; 2] = [
    "create table if not exists pgstream_sink.barriers (
  slot text not null,
  system_identifier text not null,
  database text not null,
  source text not null,
  commit_lsn pg_catalog.pg_lsn not null,
  ordinal pg_catalog.int8 not null,
  at pg_catalog.pg_lsn not null,
  primary key (system_identifier, database, slot, source)
)",
    "comment on table pgstream_sink.barriers is 'The last schema change of each source that the stream of each partition has come to, and where it stands there.'",
];

const STAND: &str =
    "insert into pgstream_sink.barriers (slot, system_identifier, database, source, commit_lsn, ordinal, at)
values ($1, $2, $3, $4, $5::pg_catalog.pg_lsn, $6::pg_catalog.int8, $7::pg_catalog.pg_lsn)
on conflict (system_identifier, database, slot, source) do update
set commit_lsn = excluded.commit_lsn, ordinal = excluded.ordinal, at = excluded.at";

/// How many stand there or behind it, and whether the first one has passed it.
const LOOK: &str = "select pg_catalog.count(*)::text, coalesce(pg_catalog.bool_or(b.slot = $3 and
  ((b.commit_lsn, b.ordinal) > ($6::pg_catalog.pg_lsn, $7::pg_catalog.int8) or p.lsn > b.at)), false)::text
from pgstream_sink.barriers b left join pgstream_sink.progress p using (system_identifier, database, slot)
where b.system_identifier = $1 and b.database = $2 and b.slot = any (pg_catalog.string_to_array($4, ' ')) and b.source = $5
and (b.commit_lsn, b.ordinal) >= ($6::pg_catalog.pg_lsn, $7::pg_catalog.int8)";

/// Says that our stream stands at a barrier, and looks where the others are.
pub(super) async fn reach(session: &mut Session, stream: &Identity, barrier: &Barrier) -> Result<Passage> {
    let (system, database, slot) = (&*stream.system, &*stream.database, &*stream.slot);
    let (commit_lsn, ordinal) = (barrier.commit_lsn.to_string(), barrier.ordinal.to_string());
    let at = barrier.at.to_string();
    session.rows(STAND, &[slot, system, database, &barrier.source, &commit_lsn, &ordinal, &at]).await?;
    let first = barrier.streams.first().map_or(slot, String::as_str);
    let streams = barrier.streams.join(" ");
    let values = [system, database, first, &streams, &barrier.source, &commit_lsn, &ordinal];
    let found = session.rows(LOOK, &values).await?.pop().unwrap_or_default();
    let [standing, passed] = [0, 1].map(|index| found.get(index).cloned().flatten().unwrap_or_default());
    Ok(if slot != first {
        if passed == "true" {
            Passage::Pass
        } else {
            Passage::Wait
        }
    } else if standing.parse() == Ok(barrier.streams.len()) {
        Passage::Write
    } else {
        Passage::Wait
    })
}
