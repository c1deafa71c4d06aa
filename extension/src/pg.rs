//! The server's C interface as far as `init` needs it: safe functions outwards, `unsafe` inside.
//!
//! ```text
//!   backend that called init()                       background worker
//!   Worker::start ── shared segment: Job | queue ──> enter_worker
//!   Worker::runs <──── errors and notices ────────── whatever it does
//!   Drop, error, exit of the backend ── SIGTERM ───> ends; drops a slot that it made and that is not ready
//! ```

use std::ffi::{c_int, CStr, CString};
use std::ptr;
use std::time::Duration;

use pgrx::bgworkers::{BackgroundWorkerBuilder, BgWorkerStartTime};
use pgrx::memcxt::PgMemoryContexts;
use pgrx::pg_sys::{self, Datum};
use pgrx::{check_for_interrupts, pg_guard, PgLogLevel};

use crate::init::Job;

/// Room for the messages of the worker; a longer one goes through in pieces.
const QUEUE_SIZE: usize = 16 * 1024;

// Not in pgrx's bindings, or not there as something that can be pointed at.
extern "C-unwind" {
    fn pq_redirect_to_shm_mq(segment: *mut pg_sys::dsm_segment, queue: *mut pg_sys::shm_mq_handle);
    fn pq_parse_errornotice(message: pg_sys::StringInfo, error: *mut pg_sys::ErrorData);
    fn die(signal: c_int);
}

/// Whether the current transaction has a transaction id: a new slot would wait for its end.
pub(crate) fn transaction_has_written() -> bool {
    // SAFETY: only reads the state of the backend.
    unsafe { pg_sys::GetTopTransactionIdIfAny() != pg_sys::InvalidTransactionId }
}

/// The database and the user that the current function runs in and as.
pub(crate) fn database_and_user() -> (pg_sys::Oid, pg_sys::Oid) {
    // SAFETY: only reads the state of the backend.
    unsafe { (pg_sys::MyDatabaseId, pg_sys::GetUserId()) }
}

/// This process's id.
pub(crate) fn process_id() -> i32 {
    // SAFETY: only reads the state of the backend.
    unsafe { pg_sys::MyProcPid }
}

/// Sleeps until something happens or the time is up; a cancel or termination ends the caller here.
pub(crate) fn wait(at_most: Duration) {
    sleep(at_most);
    check_for_interrupts!();
}

fn sleep(at_most: Duration) {
    let events = (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as c_int;
    // SAFETY: the latch of this process.
    unsafe {
        pg_sys::WaitLatch(pg_sys::MyLatch, events, at_most.as_millis() as i64, pg_sys::PG_WAIT_EXTENSION);
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
}

/// A background worker that does a `Job`, seen from the backend that started it.
pub(crate) struct Worker {
    segment: *mut pg_sys::dsm_segment,
    handle: *mut pg_sys::BackgroundWorkerHandle,
    queue: *mut pg_sys::shm_mq_handle,
}

impl Worker {
    /// `None` if all background workers of the server are taken.
    pub(crate) fn start(job: Job) -> Option<Self> {
        // SAFETY: the order of calls that the server's own parallel workers follow. Queue and handle are made in a
        // context that outlives the transaction, since the segment's detach callback uses the handle.
        unsafe {
            PgMemoryContexts::TopMemoryContext.switch_to(|_| {
                let segment = pg_sys::dsm_create(queue_offset() + QUEUE_SIZE, 0);
                job_in(segment).write(job);
                let queue = pg_sys::shm_mq_create(queue_in(segment).cast(), QUEUE_SIZE);
                pg_sys::shm_mq_set_receiver(queue, pg_sys::MyProc);

                let mut worker: pg_sys::BackgroundWorker = (&BackgroundWorkerBuilder::new("pgstream init")
                    .set_library("$libdir/pgstream")
                    .set_function("pgstream_init_worker")
                    .set_argument(Some(Datum::from(pg_sys::dsm_segment_handle(segment))))
                    .set_notify_pid(pg_sys::MyProcPid)
                    .set_start_time(BgWorkerStartTime::RecoveryFinished)
                    .enable_spi_access())
                    .into();
                let mut handle = ptr::null_mut();
                if !pg_sys::RegisterDynamicBackgroundWorker(&mut worker, &mut handle) {
                    pg_sys::dsm_detach(segment);
                    return None;
                }
                // The segment goes at the end of the call, after an error, and when the backend is terminated.
                pg_sys::on_dsm_detach(segment, Some(end_worker), Datum::from(handle));
                let queue = pg_sys::shm_mq_attach(queue, segment, handle);
                Some(Self { segment, handle, queue })
            })
        }
    }

    /// What it does and how far it is.
    pub(crate) fn job(&self) -> &Job {
        // SAFETY: written before the worker was started; what changes in it is atomic.
        unsafe { &*job_in(self.segment) }
    }

    /// Passes on what the worker has said meanwhile: its error becomes one of this session. False when it has ended.
    pub(crate) fn runs(&mut self) -> bool {
        loop {
            let (mut length, mut message) = (0, ptr::null_mut());
            // SAFETY: the queue is ours while `self` lives; a message stays until the next one is asked for.
            match unsafe { pg_sys::shm_mq_receive(self.queue, &mut length, &mut message, true) } {
                // SAFETY: so many bytes are there.
                pg_sys::shm_mq_result::SHM_MQ_SUCCESS => unsafe { pass_on(message.cast(), length) },
                pg_sys::shm_mq_result::SHM_MQ_WOULD_BLOCK => return true,
                _ => return false,
            }
        }
    }
}

impl Drop for Worker {
    /// Ends the worker and waits until it has cleaned up. Does not look at interrupts: this may be the end of a cancel.
    fn drop(&mut self) {
        // SAFETY: all three are ours and used for the last time, the handle last.
        unsafe {
            pg_sys::shm_mq_detach(self.queue);
            pg_sys::dsm_detach(self.segment);
            let mut pid = 0;
            while matches!(
                pg_sys::GetBackgroundWorkerPid(self.handle, &mut pid),
                pg_sys::BgwHandleStatus::BGWH_STARTED | pg_sys::BgwHandleStatus::BGWH_NOT_YET_STARTED
            ) {
                sleep(Duration::from_millis(100));
            }
            pg_sys::pfree(self.handle.cast());
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn end_worker(_segment: *mut pg_sys::dsm_segment, handle: Datum) {
    // SAFETY: the handle outlives the segment.
    unsafe { pg_sys::TerminateBackgroundWorker(handle.cast_mut_ptr()) }
}

/// An error or notice in the form of the client protocol, as an error or notice of this session.
///
/// # Safety
/// `message` points to `length` bytes.
unsafe fn pass_on(message: *mut i8, length: usize) {
    let Ok(length @ 1..) = c_int::try_from(length) else { return };
    // SAFETY: the caller's promise; the string is only read, and the parsed error is a copy.
    unsafe {
        if !matches!(*message as u8, b'E' | b'N') {
            return;
        }
        let mut text = pg_sys::StringInfoData { data: message, len: length, maxlen: length, cursor: 1 };
        let mut error = pg_sys::ErrorData::default();
        pq_parse_errornotice(&mut text, &mut error);
        error.elevel = error.elevel.min(PgLogLevel::ERROR as c_int); // its FATAL is not ours
        pg_sys::ThrowErrorData(&mut error);
    }
}

/// The worker's first act: from here on the starter hears its errors. `None` if the starter is gone.
pub(crate) fn enter_worker(argument: Datum) -> Option<&'static Job> {
    // SAFETY: runs once, at the start of a background worker whose argument is the handle of a segment that
    // `Worker::start` filled. The mapping is pinned, so the job stays until the process ends.
    unsafe {
        set_sigterm_handler();
        pg_sys::BackgroundWorkerUnblockSignals();
        pg_sys::CurrentResourceOwner =
            pg_sys::ResourceOwnerCreate(ptr::null_mut(), c"pgstream init".as_ptr());
        let segment = pg_sys::dsm_attach(argument.value() as pg_sys::dsm_handle).as_mut()?;
        pg_sys::dsm_pin_mapping(segment);
        let queue = queue_in(segment);
        pg_sys::shm_mq_set_sender(queue, pg_sys::MyProc);
        pq_redirect_to_shm_mq(segment, pg_sys::shm_mq_attach(queue, segment, ptr::null_mut()));

        let job = &*job_in(segment);
        pg_sys::BackgroundWorkerInitializeConnectionByOid(job.database, job.user, 0);
        pg_sys::before_shmem_exit(Some(drop_unready_slot), Datum::from(ptr::from_ref(job)));
        Some(job)
    }
}

/// Gives a setting a value for the rest of the worker's life, over what is set for the database or the user.
pub(crate) fn set(name: &CStr, value: &CStr) {
    let (context, source) = (pg_sys::GucContext::PGC_SUSET, pg_sys::GucSource::PGC_S_OVERRIDE);
    // SAFETY: both are C strings, which the server copies.
    unsafe { pg_sys::SetConfigOption(name.as_ptr(), value.as_ptr(), context, source) }
}

/// What `pg_stat_activity` shows of the worker.
pub(crate) fn report_activity(doing: &str) {
    let doing = CString::new(doing).unwrap_or_default();
    // SAFETY: a C string, which the server copies.
    unsafe { pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, doing.as_ptr()) }
}

/// Runs when the worker ends, however that happens.
#[pg_guard]
unsafe extern "C-unwind" fn drop_unready_slot(_code: c_int, job: Datum) {
    // SAFETY: the job's segment is detached later than this runs. A failed transaction is ended first, so that
    // nothing of it is held any more.
    unsafe {
        let Some(slot) = (*job.cast_mut_ptr::<Job>()).unready_slot() else { return };
        pg_sys::AbortOutOfAnyTransaction();
        pg_sys::ReplicationSlotDrop(slot.as_ptr(), true);
    }
}

/// As in an ordinary session: acted upon wherever interrupts are looked at, also in the wait for a lock.
fn set_sigterm_handler() {
    // SAFETY: `die` is the server's own handler for this signal.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(pg_sys::SIGTERM as c_int, Some(die));
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(pg_sys::SIGTERM as c_int, Some(die));
    }
}

/// The queue lies behind the job, aligned for anything.
const fn queue_offset() -> usize {
    size_of::<Job>().next_multiple_of(16)
}

/// # Safety
/// The segment was made by `Worker::start`.
unsafe fn job_in(segment: *mut pg_sys::dsm_segment) -> *mut Job {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::dsm_segment_address(segment).cast() }
}

/// # Safety
/// As for `job_in`.
unsafe fn queue_in(segment: *mut pg_sys::dsm_segment) -> *mut pg_sys::shm_mq {
    // SAFETY: the segment has room for both.
    unsafe { pg_sys::dsm_segment_address(segment).byte_add(queue_offset()).cast() }
}
