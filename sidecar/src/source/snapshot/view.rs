//! What a snapshot sees, transaction by transaction.
//!
//! ```text
//! pg_snapshot   xmin:xmax:running      sees(xid)  =  xid < xmin  or  (xid < xmax and not running)
//! end           a log position         nothing it sees commits at or after it
//! ```
//!
//! Why the join of a copy and a stream has neither gap nor duplicate: the rows of a copy are those of the transactions its snapshot sees; the
//! stream names each transaction by its id, so exactly the others are applied. A position alone could not decide it: a transaction is
//! visible to others a moment *after* its commit is in the log (with synchronous replication a long one), so commits just before a position
//! may be seen or not. `end` bounds the rule: from there on everything is applied, whatever its id.

use crate::error::{Error, Result};
use crate::event::Lsn;

/// What a snapshot sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    xmin: u64,
    xmax: u64,
    running: Vec<u64>,
    /// The source's log when the snapshot had been taken.
    pub end: Lsn,
}

impl View {
    /// Of `pg_current_snapshot()` in text form (`10:20:10,14`) and a log position read after it was taken.
    ///
    /// # Errors
    /// Fatal when the text is not a snapshot.
    pub fn new(snapshot: &str, end: Lsn) -> Result<Self> {
        let malformed = || Error::fatal(format!("`{snapshot}` is not a snapshot"));
        let mut parts = snapshot.splitn(3, ':');
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok()).ok_or_else(malformed);
        let (xmin, xmax) = (number()?, number()?);
        let list = parts.next().ok_or_else(malformed)?;
        let running: std::result::Result<Vec<u64>, _> =
            list.split(',').filter(|xid| !xid.is_empty()).map(str::parse).collect();
        Ok(Self { xmin, xmax, running: running.map_err(|_| malformed())?, end })
    }

    /// Whether the snapshot sees a transaction of the stream, of which the log has the id without its epoch and where its commit starts.
    pub fn sees(&self, xid: u32, commit_lsn: Lsn) -> bool {
        if commit_lsn >= self.end {
            return false;
        }
        let xid = self.whole(xid);
        xid < self.xmin || xid < self.xmax && self.running.binary_search(&xid).is_err()
    }

    /// A transaction of the stream with its epoch. The stream only holds transactions younger than two billion others: the nearest number
    /// with these 32 bits is the one.
    pub fn whole(&self, xid: u32) -> u64 {
        let distance = i64::from(xid.wrapping_sub(self.xmax as u32) as i32);
        self.xmax.wrapping_add_signed(distance)
    }

    /// Whether a transaction older than `xid` was running when the snapshot was taken.
    pub fn waits_for_older_than(&self, xid: u64) -> bool {
        self.running.first().is_some_and(|oldest| *oldest < xid)
    }
}

impl std::fmt::Display for View {
    /// As `pg_current_snapshot()` prints it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let running: Vec<String> = self.running.iter().map(u64::to_string).collect();
        write!(f, "{}:{}:{}", self.xmin, self.xmax, running.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_seen_when_it_had_ended() {
        let view = View::new("10:20:10,14", Lsn(100)).expect("a snapshot");
        assert_eq!(view.to_string(), "10:20:10,14");
        for (xid, seen) in
            [(3, true), (9, true), (10, false), (11, true), (14, false), (19, true), (20, false)]
        {
            assert_eq!(view.sees(xid, Lsn(99)), seen, "{xid}");
            assert!(!view.sees(xid, Lsn(100)), "{xid} commits after the snapshot");
        }
        assert!(view.waits_for_older_than(11) && !view.waits_for_older_than(10));
        assert_eq!(View::new("7:7:", Lsn(1)).expect("a snapshot").to_string(), "7:7:");
    }

    #[test]
    fn ids_are_compared_across_the_end_of_an_epoch() {
        let epoch = 5_u64 << 32;
        let view = View::new(&format!("{}:{}:", epoch + 2, epoch + 3), Lsn(100)).expect("a snapshot");
        assert!(view.sees(u32::MAX, Lsn(1)), "the last of the epoch before");
        assert!(view.sees(2, Lsn(1)) && !view.sees(3, Lsn(1)) && !view.sees(4, Lsn(1)));
    }

    #[test]
    fn what_is_no_snapshot_is_refused() {
        for bad in ["", "1", "1:2", "a:2:", "1:2:x", "1:2:3;4"] {
            assert!(View::new(bad, Lsn(1)).is_err(), "{bad}");
        }
    }
}
