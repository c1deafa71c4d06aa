//! The exact text of DDL, its nesting and its role, as the extension's library tells them to `ddl_log`.

use pgstream_tests::{Database, Session};

use super::Install;

/// `(text, exact, depth, role)` of each command, oldest first; the next call tells those after them.
fn told(session: &mut Session) -> Vec<[String; 4]> {
    let rows = session.rows(
        "with told as (delete from pgstream.ddl_log returning *)
         select sql, exact, depth, role from told order by id",
    );
    rows.into_iter().map(|row| row.try_into().expect("four columns")).collect()
}

fn texts(session: &mut Session) -> Vec<String> {
    told(session).into_iter().map(|[sql, ..]| sql).collect()
}

#[test]
fn text_is_cut_out_as_it_was_typed() {
    let database = Install::Extension.database();
    let mut session = database.session();
    session.execute("  /* a */ create table /* b */ \"tä ble;\" (id int) -- c\n ;\n\t alter table \"tä ble;\"\n add v text;;");
    let expected =
        ["/* a */ create table /* b */ \"tä ble;\" (id int) -- c", "alter table \"tä ble;\"\n add v text"];
    assert_eq!(texts(&mut session), expected);
    session.client().execute("create table extended (id int)", &[]).expect("the extended protocol");
    let prepared = session.client().prepare("create table prepared as select 1 as one").expect("prepared");
    session.client().execute(&prepared, &[]).expect("executed");
    assert_eq!(
        texts(&mut session),
        ["create table extended (id int)", "create table prepared as select 1 as one"]
    );
}

/// The library comes with the first command, and has not seen what was running then.
#[test]
fn the_first_command_of_a_session() {
    let database = Install::Extension.database();
    database.execute(
        "create function f() returns void language plpgsql as $$ begin create table by_f (); create table by_f2 (); end $$;
         create procedure p() language plpgsql as $$ begin create table by_p (); commit; create table by_p2 (); end $$;
         delete from pgstream.ddl_log",
    );
    for first in [
        "create table plain (id int)",
        "create table filled as select 1 as one",
        "select 1 as one into selected",
    ] {
        let mut session = database.session();
        session.execute(&format!("select 1; {first}; select 2"));
        assert_eq!(told(&mut session), [[first, "t", "0", "postgres"]]);
    }
    for (outer, second) in [
        ("select f()", "create table by_f2 ()"),
        ("call p()", "create table by_p2 ()"),
        ("do $$ begin create table a (); execute 'create table b ()'; end $$", "create table b ()"),
    ] {
        let mut session = database.session();
        session.execute(outer);
        assert_eq!(told(&mut session), [[outer, "f", "0", "postgres"], [second, "t", "0", "postgres"]]);
    }
    let mut session = database.session();
    session.client().execute("create table extended (id int)", &[]).expect("the extended protocol");
    assert_eq!(told(&mut session), [["create table extended (id int)", "t", "0", "postgres"]]);
}

#[test]
fn errors_leave_nothing_behind() {
    let database = Install::Extension.database();
    let mut session = database.session();
    session.execute("create table t (id int); delete from pgstream.ddl_log");
    session.execute("begin; savepoint s");
    assert!(session.error("create table t (id int)").starts_with("42P07"));
    session.execute("rollback to s; create table u (id int); commit");
    session.execute(
        "do $$ begin
             begin execute 'do $d$ begin create table t (id int); end $d$'; exception when others then null; end;
             create table v (id int);
         end $$",
    );
    session.error("create table t (id int)");
    session.execute("create table w (id int)");
    let expected = ["u", "v", "w"]
        .map(|name| [&format!("create table {name} (id int)"), "t", "0", "postgres"].map(str::to_owned));
    assert_eq!(told(&mut session), expected);
}

#[test]
fn commands_inside_commands_are_deeper() {
    let database = Install::Extension.database();
    let mut session = database.session();
    session.execute(
        "create function inner_ddl() returns event_trigger language plpgsql as $$
         begin
             if tg_tag = 'CREATE TABLE' and to_regclass('inner_table') is null then create table inner_table (); end if;
         end $$;
         create event trigger a_user_trigger on ddl_command_end execute function inner_ddl();
         delete from pgstream.ddl_log",
    );
    session.execute("do $$ begin create table outer_table (); end $$");
    let expected = [
        ["create table inner_table ()", "t", "1", "postgres"],
        ["create table outer_table ()", "t", "0", "postgres"],
    ];
    assert_eq!(told(&mut session), expected);
    // The first command of a session was not seen to start: its text must not be taken for that of the inner one.
    for (outer, exact) in
        [("create table third ()", "t"), ("do $$ begin create table fourth (); end $$", "f")]
    {
        session.execute("drop table inner_table; delete from pgstream.ddl_log");
        let mut first = database.session();
        first.execute(outer);
        let inner = if exact == "t" { "" } else { outer };
        assert_eq!(told(&mut first), [[inner, "f", "1", "postgres"], [outer, exact, "0", "postgres"]]);
    }
}

#[test]
fn the_role_is_the_one_that_ran_the_statement() {
    let database = Install::Extension.database();
    let role = format!("user_{}", database.name);
    let mut session = database.session();
    session.execute(&format!(
        "create role {role}; grant create on schema public to {role};
         create function definer(name text) returns void language plpgsql security definer as $$
         begin execute format('create table %I ()', name); end $$;
         delete from pgstream.ddl_log"
    ));
    session.execute(&format!("set role {role}; create table mine (); select definer('theirs'); reset role"));
    let expected =
        [["create table mine ()", "t", "0", &role], ["create table theirs ()", "t", "0", "postgres"]];
    assert_eq!(told(&mut session), expected);
    let mut session = database.session();
    session.execute(&format!("set role {role}; create table first (); reset role"));
    assert_eq!(told(&mut session), [["create table first ()", "t", "0", &role]]);
    session.execute(&format!("drop owned by {role}; drop role {role}"));
}

#[test]
fn members_of_an_extension_do_not_count() {
    let database = Install::Extension.database();
    let mut session = database.session();
    session.execute("create extension hstore");
    assert_eq!(
        told(&mut session).pop(),
        Some(["create extension hstore", "t", "0", "postgres"].map(str::to_owned))
    );
}

/// Position, query, context, names: nothing of an error is lost on its way through the library.
#[test]
fn errors_are_the_same_with_the_library() {
    let database = Database::on_source();
    database.execute(
        "create table t (a int primary key, b int); insert into t values (1, 1), (2, 1);
         create function f() returns void language plpgsql as $$ begin create table t (); end $$;
         create procedure p() language plpgsql as $$ begin create table z (); rollback; create table t (); end $$",
    );
    let (mut without, mut with) = (database.session(), database.session());
    with.execute("load 'pgstream'");
    for statement in [
        "create table u (a int, b nosuch)",
        "alter table t add constraint c check (b > 5)",
        "alter table t add constraint u unique (b)",
        "alter table t alter b set default 'x'::int",
        "create view v as select nope from t",
        "create function g() returns int language sql as $$ select nope from t $$",
        "select f()",
        "call p()",
        "do $$ begin execute 'alter table t add x int, add x int'; end $$",
        "create type mood as enum ('a', 'a')",
        "drop table nope",
        "execute nope",
        "vacuum nope",
        "create table filled as select 1 / (a - a) from t",
        "explain analyze create table filled as select 1 / (a - a) from t",
        "begin; create table q (); create table q ()",
        "rollback; refresh materialized view t",
    ] {
        let error = |session: &mut Session| {
            let error = session.client().batch_execute(statement).expect_err(statement);
            let mut error = format!("{:?}", error.as_db_error().expect("from the server"));
            if let Some(at) = error.find("Key (enumtypid") {
                error.truncate(at); // an oid follows
            }
            error
        };
        assert_eq!(error(&mut with), error(&mut without), "{statement}");
    }
}
