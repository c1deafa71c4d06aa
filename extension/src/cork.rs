//! The cork: a walsender that sends its stream in large pieces, by `select pgstream.cork_on()` before `START_REPLICATION`.
//!
//! pgoutput hands over each row by itself, and the server sends it by itself: most of a walsender's time goes into these
//! calls. The server's table of sending functions is replaced here by one that leaves messages in the server's own queue:
//!
//! ```text
//!   row, keepalive ──> put ──> the server's queue ──> flush_if_writable ──> client
//!                                                      │ not yet, while less than 64 KiB are held, for less than 2 ms, and
//!                                                      ├ a row was put just now: the server comes back after its record
//!                                                      └ or more WAL is there to be read: it will not sleep
//! ```
//!
//! - Bytes and order are the server's: there is one queue, so a keepalive never overtakes a row.
//! - The server asks for a flush after each record and before each sleep, and only there may WAL have run out: then
//!   everything is sent, so a single commit leaves as soon as without us. That WAL is there does not mean that the
//!   next record is whole; the server could go to sleep over half of one. A timer wakes it then.
//! - What ends a stream or speaks of an error flushes for good, which is passed on as it is.
//!
//! One delay is left: a commit that waits for the 2 ms when the server begins with a long transaction of which nothing
//! is published goes out when that is decoded, together with the commits behind it.

use std::cell::Cell;
use std::ffi::{c_char, c_int};
use std::ptr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Oid, XLogRecPtr};
use pgrx::prelude::*;

/// So many bytes are sent without waiting for more.
const FULL: usize = 64 * 1024;
/// A message is held no longer.
const LONGEST: Duration = Duration::from_millis(2);
/// So much WAL, in bytes, lies before a server that will not sleep soon.
const AHEAD: XLogRecPtr = 128 * 1024;
/// Asks `RegisterTimeout` for any number that is free: higher than all that have a name in any version.
const ANY_TIMER: c_int = c_int::MAX;

static SETTING: GucSetting<bool> = GucSetting::<bool>::new(true);
/// The server's functions, and ours.
static TABLES: OnceLock<(Methods, Methods)> = OnceLock::new();
static TIMER: OnceLock<c_int> = OnceLock::new();

thread_local! {
    // A backend has one thread.
    static HELD: Cell<Option<Held>> = const { Cell::new(None) };
    /// WAL is on disk at least up to here.
    static FLUSHED: Cell<XLogRecPtr> = const { Cell::new(0) };
}

/// What is in the queue and was not sent on purpose.
#[derive(Clone, Copy)]
struct Held {
    bytes: usize,
    since: Instant,
    /// The last call put a row: the server is within a record, and will ask for a flush at its end.
    in_record: bool,
}

/// `PQcommMethods` of PostgreSQL 14 and later.
#[derive(Clone, Copy)]
#[repr(C)]
struct Methods {
    comm_reset: unsafe extern "C-unwind" fn(),
    flush: unsafe extern "C-unwind" fn() -> c_int,
    flush_if_writable: unsafe extern "C-unwind" fn() -> c_int,
    is_send_pending: unsafe extern "C-unwind" fn() -> bool,
    putmessage: unsafe extern "C-unwind" fn(c_char, *const c_char, usize) -> c_int,
    putmessage_noblock: unsafe extern "C-unwind" fn(c_char, *const c_char, usize),
}

// Not in pgrx's bindings, or there with a guard that an error cannot pass through unchanged.
extern "C-unwind" {
    static mut PqCommMethods: *const Methods;
    fn RegisterTimeout(id: c_int, handler: unsafe extern "C-unwind" fn()) -> c_int;
    fn enable_timeout_after(id: c_int, milliseconds: c_int);
    fn get_timeout_active(id: c_int) -> bool;
    fn GetFlushRecPtr(timeline: *mut pg_sys::TimeLineID) -> XLogRecPtr;
}

/// Makes the setting known.
pub(crate) fn define_setting() {
    GucRegistry::define_bool_guc(
        c"pgstream.cork",
        c"Lets pgstream.cork_on() make a walsender send its stream in large pieces.",
        c"Off also stops those that do so already.",
        &SETTING,
        GucContext::Suset,
        GucFlags::default(),
    );
}

/// `pgstream.cork_on() returns boolean`: whether this walsender sends in large pieces from now on.
#[pg_extern(sql = false)]
fn pgstream_cork_on() -> bool {
    // SAFETY: only reads the state of the backend.
    if unsafe { !pg_sys::am_db_walsender || pg_sys::RecoveryInProgress() } {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "pgstream.cork_on() works only on a replication connection to a database of a primary server",
            "pgstream_cork_on",
        )
        .set_hint("Connect with replication=database.")
        .report(PgLogLevel::ERROR);
    }
    if !SETTING.get() {
        notice!("pgstream.cork is off: the stream is sent message by message");
        return false;
    }
    install();
    true
}

/// Puts our functions in place of the server's. They stay for the life of the connection.
fn install() {
    // SAFETY: a backend has one thread, and it is not sending now. The table that is replaced is a constant of the
    // server; ours lives as long as the process.
    unsafe {
        TIMER.get_or_init(|| RegisterTimeout(ANY_TIMER, wake));
        let (_, ours) = TABLES.get_or_init(|| {
            let server = *PqCommMethods;
            let ours =
                Methods { flush, flush_if_writable, is_send_pending, putmessage_noblock: put, ..server };
            (server, ours)
        });
        PqCommMethods = ours;
    }
}

/// The server's own functions. Ours are called only after `install`.
fn server() -> &'static Methods {
    match TABLES.get() {
        Some((server, _)) => server,
        None => unreachable!("called without having been installed"),
    }
}

// Errors of the server jump over the functions below: no value with a destructor may live in them.

/// A message into the queue; what was empty before is held from now on.
unsafe extern "C-unwind" fn put(kind: c_char, body: *const c_char, length: usize) {
    // SAFETY: `body` has `length` bytes.
    let is_row = length > 0 && kind as u8 == b'd' && unsafe { *body } as u8 == b'w';
    let held =
        HELD.get().or_else(|| may_hold().then(|| Held { bytes: 0, since: Instant::now(), in_record: false }));
    HELD.set(held.map(|held| Held { bytes: held.bytes + length, in_record: is_row, ..held }));
    // SAFETY: the arguments go on as they came.
    unsafe { (server().putmessage_noblock)(kind, body, length) }
}

/// Sends what can be sent without waiting, unless it is better kept.
unsafe extern "C-unwind" fn flush_if_writable() -> c_int {
    if let Some(held) = HELD.get() {
        HELD.set(Some(Held { in_record: false, ..held }));
        let may_wait = held.bytes < FULL && held.since.elapsed() < LONGEST;
        if may_wait && (held.in_record || (wal_is_there() && wakes_up())) {
            return 0;
        }
        HELD.set(None);
    }
    // SAFETY: takes nothing.
    unsafe { (server().flush_if_writable)() }
}

/// Sends everything.
unsafe extern "C-unwind" fn flush() -> c_int {
    HELD.set(None);
    // SAFETY: takes nothing.
    unsafe { (server().flush)() }
}

/// Whether the client has to take something first. What we hold does not wait for it.
unsafe extern "C-unwind" fn is_send_pending() -> bool {
    // SAFETY: takes nothing.
    HELD.get().is_none() && unsafe { (server().is_send_pending)() }
}

/// Holding begins with an empty queue, and only in a stream of logical replication: no other comes back as described.
fn may_hold() -> bool {
    // SAFETY: only reads the state of the backend; the slot stays while it is ours.
    unsafe {
        let slot = pg_sys::MyReplicationSlot.as_ref();
        SETTING.get()
            && slot.is_some_and(|slot| slot.data.database != Oid::INVALID)
            && !(server().is_send_pending)()
    }
}

/// Whether there is enough WAL that the server goes on reading.
fn wal_is_there() -> bool {
    // SAFETY: a walsender has its entry in shared memory; nobody else writes this field of it.
    let wanted = unsafe { (*pg_sys::MyWalSnd).sentPtr } + AHEAD;
    if FLUSHED.get() < wanted {
        // SAFETY: wants no timeline.
        FLUSHED.set(unsafe { GetFlushRecPtr(ptr::null_mut()) });
    }
    FLUSHED.get() >= wanted
}

/// Sees to it that a sleep would end soon. Always true.
fn wakes_up() -> bool {
    if let Some(timer) = TIMER.get() {
        // SAFETY: the number is our own.
        unsafe {
            if !get_timeout_active(*timer) {
                enable_timeout_after(*timer, LONGEST.as_millis() as c_int);
            }
        }
    }
    true
}

/// Runs when the timer is over. The server itself then sets the latch over which a walsender sleeps.
unsafe extern "C-unwind" fn wake() {}
