//! The exact text of the running DDL command, also inside functions, `do` blocks and strings of several statements.
//!
//! ```text
//!   ProcessUtility ──> hook ──> next hook or the server's own ──> event trigger ──> pgstream.ddl_text()
//!                       │ Frame: statement, text, user, level                          │
//!                       └── on the hook's own stack, linked to the enclosing one <─────┘ reads the chain
//! ```
//!
//! The library comes into a session with its first event trigger call, when the statement that fired it is already
//! running and has no frame. Then the active portal is asked: it holds every top-level statement. What it cannot
//! tell is the text of a statement inside a function, a `do` block or another command's event trigger; `exact` is
//! false for that one, and the text that of the function call, or none if it could be taken for the command's.
//!
//! The hook is part of every utility command of every user, so an error must pass through it as it is. pgrx's guard
//! turns errors into panics and back, which loses position, query and context: it must not be around this call.

use std::ffi::{c_char, CStr};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use std::sync::OnceLock;

use pgrx::pg_guard;
use pgrx::pg_sys::{self, Datum, Oid};

/// A utility command that is being run. Lives on the stack of the hook that runs it.
struct Frame {
    statement: Statement,
    user: Oid,
    top_level: bool,
    enclosing: *const Frame,
}

/// A statement and the string it was cut from.
#[derive(Clone, Copy)]
struct Statement {
    plan: *const pg_sys::PlannedStmt,
    source: *const c_char,
}

/// What `pgstream.ddl_text()` answers.
#[derive(Default)]
struct Running {
    statement: Option<Statement>,
    exact: bool,
    depth: usize,
    user: Option<Oid>,
}

static INNERMOST: AtomicPtr<Frame> = AtomicPtr::new(ptr::null_mut());
static NEXT_HOOK: OnceLock<pg_sys::ProcessUtility_hook_type> = OnceLock::new();

// The server's functions without pgrx's guard.
extern "C-unwind" {
    fn standard_ProcessUtility(
        plan: *mut pg_sys::PlannedStmt,
        source: *const c_char,
        read_only_tree: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        params: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        dest: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
    fn GetUserId() -> Oid;
    fn pg_re_throw() -> !;
}

/// Puts the hook in front of those already there.
pub(crate) fn install() {
    // SAFETY: a backend has one thread, and hooks are only set while a library is loaded.
    unsafe {
        if NEXT_HOOK.set(pg_sys::ProcessUtility_hook).is_ok() {
            pg_sys::ProcessUtility_hook = Some(process_utility);
        }
    }
}

/// Notes the command while it runs. No value with a destructor may live here: an error jumps over this function.
unsafe extern "C-unwind" fn process_utility(
    plan: *mut pg_sys::PlannedStmt,
    source: *const c_char,
    read_only_tree: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    dest: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    let next = NEXT_HOOK.get().copied().flatten().unwrap_or(standard_ProcessUtility);
    if context == pg_sys::ProcessUtilityContext::PROCESS_UTILITY_SUBCOMMAND {
        // SAFETY: the arguments go on as they came.
        return unsafe { next(plan, source, read_only_tree, context, params, environment, dest, completion) };
    }
    let enclosing = INNERMOST.load(Relaxed);
    let frame = Frame {
        statement: Statement { plan, source },
        // SAFETY: only reads a variable of the backend.
        user: unsafe { GetUserId() },
        top_level: context == pg_sys::ProcessUtilityContext::PROCESS_UTILITY_TOPLEVEL,
        enclosing,
    };
    INNERMOST.store(ptr::from_ref(&frame).cast_mut(), Relaxed);
    // SAFETY: the arguments go on as they came, and nothing inside the closure needs dropping.
    let failed = unsafe {
        fails(|| next(plan, source, read_only_tree, context, params, environment, dest, completion))
    };
    INNERMOST.store(enclosing, Relaxed);
    if failed {
        // SAFETY: the error caught just now is still current, untouched.
        unsafe { pg_re_throw() }
    }
}

/// PG_TRY without a body for PG_CATCH: tells whether `call` ended by an error, which the caller has to throw on.
///
/// # Safety
/// `call` runs over to an error by a jump: neither it nor the frames below may hold values with destructors.
unsafe fn fails(call: impl FnOnce()) -> bool {
    // SAFETY: what PG_TRY does; the jump buffer is in force only while the function that owns it runs.
    unsafe {
        let exceptions = pg_sys::PG_exception_stack;
        let contexts = pg_sys::error_context_stack;
        let jumped = cee_scape::call_with_sigsetjmp(false, |buffer| {
            pg_sys::PG_exception_stack = ptr::from_ref(buffer).cast_mut().cast();
            call();
            0
        });
        pg_sys::PG_exception_stack = exceptions;
        pg_sys::error_context_stack = contexts;
        jumped != 0
    }
}

impl Running {
    /// Finds the innermost command for which event triggers fire.
    fn find() -> Self {
        // SAFETY: frames are linked only while the hook calls that own them run, and we are called from within them.
        let innermost = unsafe { INNERMOST.load(Relaxed).as_ref() };
        // SAFETY: as above.
        let frames = || std::iter::successors(innermost, |frame| unsafe { frame.enclosing.as_ref() });
        let portal = Statement::of_portal();
        // SAFETY: only reads a variable of the backend.
        let in_script = unsafe { pg_sys::creating_extension };
        let portal_is_ddl = portal.is_some_and(|statement| statement.is_ddl());

        let mut commands = frames().filter(|frame| frame.statement.is_ddl());
        if let Some(command) = commands.next() {
            let unseen = portal_is_ddl && frames().last().is_some_and(|frame| !frame.top_level);
            return Self {
                statement: Some(command.statement),
                exact: command.statement.is_located(),
                depth: commands.count() + usize::from(unseen),
                user: Some(command.user),
            };
        }
        let depth = running_event_triggers().saturating_sub(1) + usize::from(portal_is_ddl && in_script);
        let exact = portal_is_ddl && depth == 0;
        Self {
            statement: portal.filter(|_| exact || !portal_is_ddl),
            exact,
            depth,
            // SAFETY: only reads a variable of the backend: the user in force at top level.
            user: exact.then(|| unsafe { pg_sys::GetOuterUserId() }),
        }
    }
}

/// How many event triggers run inside each other. The server does not tell, but gives each a memory context.
fn running_event_triggers() -> usize {
    // SAFETY: nothing changes the tree while it is walked, and every context in it has a name.
    unsafe {
        let mut running = 0;
        let mut left = vec![pg_sys::TopMemoryContext];
        while let Some(context) = left.pop() {
            running += usize::from(CStr::from_ptr((*context).name) == c"event trigger context");
            let child = (*context).firstchild;
            left.extend(
                std::iter::successors(child.as_ref(), |child| child.nextchild.as_ref())
                    .map(|child| ptr::from_ref(child).cast_mut()),
            );
        }
        running
    }
}

impl Statement {
    /// What the client's current message runs.
    fn of_portal() -> Option<Self> {
        // SAFETY: the active portal lives until the statement that we are called from ends, and its statements with it.
        unsafe {
            let portal = pg_sys::ActivePortal.as_ref()?;
            let statements = portal.stmts.as_ref().filter(|list| list.length > 0)?;
            Some(Self { plan: (*statements.elements).ptr_value.cast(), source: portal.sourceText })
        }
    }

    /// Whether event triggers fire for it.
    fn is_ddl(self) -> bool {
        // SAFETY: the statement is being run, so its tree is there.
        unsafe {
            let node = (*self.plan).utilityStmt;
            !node.is_null() && pg_sys::command_tag_event_trigger_ok(pg_sys::CreateCommandTag(node))
        }
    }

    /// Whether its place in the source is known; not so for statements that some other library made up.
    fn is_located(self) -> bool {
        // SAFETY: the statement is being run, so it is there.
        unsafe { (*self.plan).stmt_location >= 0 }
    }

    /// As it was typed, without the blanks around it. In the server's encoding.
    fn text<'a>(self) -> Option<&'a [u8]> {
        if self.source.is_null() {
            return None;
        }
        // SAFETY: the statement is being run, so it is there, and its source too, a C string.
        let (source, location, length) = unsafe {
            (CStr::from_ptr(self.source).to_bytes(), (*self.plan).stmt_location, (*self.plan).stmt_len)
        };
        let rest = source.get(usize::try_from(location).unwrap_or(0)..)?;
        let text = match usize::try_from(length) {
            Ok(length @ 1..) => rest.get(..length)?,
            _ => rest,
        };
        Some(text.trim_ascii())
    }
}

/// `pgstream.ddl_text(out sql text, out exact boolean, out depth integer, out role text)`
#[pg_guard]
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn pgstream_ddl_text(call: pg_sys::FunctionCallInfo) -> Datum {
    let running = Running::find();
    let sql = running.statement.and_then(Statement::text);
    // SAFETY: called by the server's function manager, for a function that returns a record of these four columns.
    unsafe {
        let role =
            running.user.map(|user| pg_sys::GetUserNameFromId(user, true)).filter(|name| !name.is_null());
        let columns = [
            sql.map(|sql| pg_sys::cstring_to_text_with_len(sql.as_ptr().cast(), sql.len() as i32).into()),
            Some(Datum::from(running.exact)),
            Some(Datum::from(running.depth as i32)),
            role.map(|name| pg_sys::cstring_to_text(name).into()),
        ];
        let mut descriptor = ptr::null_mut();
        pg_sys::get_call_result_type(call, ptr::null_mut(), &mut descriptor);
        let descriptor = pg_sys::BlessTupleDesc(descriptor);
        assert_eq!((*descriptor).natts as usize, columns.len(), "pgstream.ddl_text is declared wrongly");
        let mut values = columns.map(|column| column.unwrap_or(Datum::null()));
        let mut nulls = columns.map(|column| column.is_none());
        let row = pg_sys::heap_form_tuple(descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::heap_copy_tuple_as_datum(row, descriptor)
    }
}

/// Tells the server how the function is called.
#[unsafe(no_mangle)]
extern "C" fn pg_finfo_pgstream_ddl_text() -> &'static pg_sys::Pg_finfo_record {
    &pg_sys::Pg_finfo_record { api_version: 1 }
}
