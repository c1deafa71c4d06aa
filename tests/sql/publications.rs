//! Publication lists: every table with a usable identity is in exactly one, and nobody's UPDATE ever fails.

use pgstream_tests::Database;

use super::on_both_installs;

on_both_installs!(
    tables_are_listed_as_they_become_able,
    tables_from_before_are_listed,
    identity_full_on_request,
    partitions_follow_their_root,
    a_bare_drop_leaves_nothing_behind,
);

/// Sets up, as steps 1 and 3 of init do.
fn set_up(database: &Database) {
    database.execute("select pgstream.setup_publications()");
    database.execute("select pgstream.setup_lists()");
}

/// What is listed for updates and deletes, as it was listed: roots, not their leaves.
fn listed(database: &Database) -> String {
    database.value(
        "select coalesce(string_agg(prrelid::regclass::text, ' ' order by prrelid::regclass::text), '')
           from pg_publication_rel r join pg_publication p on p.oid = r.prpubid where p.pubname like 'pgstream_changes_%'",
    )
}

fn tables_are_listed_as_they_become_able(database: Database) {
    set_up(&database);
    database.execute("create table keyed (id int primary key, v text)");
    database.execute("create table bare (id int, v text); create temp table t (id int primary key)");
    database.execute("create unlogged table u (id int primary key); create table x as select 1 one");
    assert_eq!(listed(&database), "keyed");
    // Neither an update of a table without identity nor one after it lost its key may fail.
    database.execute("insert into bare values (1); update bare set v = 'x'; delete from bare");
    database.execute("alter table bare add primary key (id)");
    assert_eq!(listed(&database), "bare keyed");
    database.execute("alter table keyed drop constraint keyed_pkey; update keyed set v = 'x'");
    assert_eq!(listed(&database), "bare");
    database.execute("alter table keyed replica identity full");
    assert_eq!(listed(&database), "bare keyed");
    database.execute("alter table keyed replica identity nothing; update keyed set v = 'x'");
    database.execute("alter table keyed alter id set not null; create unique index i on keyed (id)");
    database.execute("alter table keyed replica identity using index i");
    assert_eq!(listed(&database), "bare keyed");
    database.execute("drop index i; update keyed set v = 'x'");
    assert_eq!(listed(&database), "bare");
    database.execute("drop table bare, keyed");
    assert_eq!(listed(&database), "");
}

fn tables_from_before_are_listed(database: Database) {
    database.execute("create schema s; create table s.t (id int primary key); create table bare (id int)");
    set_up(&database);
    set_up(&database);
    assert_eq!(listed(&database), "s.t");
    let all = database.rows("select pubname, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate from pg_publication order by 1");
    assert_eq!(all.len(), 9);
    assert_eq!(all[0], ["pgstream_changes_1", "f", "f", "t", "t", "f"]);
    assert_eq!(all[8], ["pgstream_inserts", "t", "t", "f", "f", "t"]);
}

fn identity_full_on_request(database: Database) {
    database.execute("create table bare (id int)");
    database.execute(
        "select pgstream.setup_publications(); select pgstream.setup_lists(replica_identity_full => true)",
    );
    assert_eq!(listed(&database), "bare");
    assert_eq!(database.value("select relreplident from pg_class where relname = 'bare'"), "f");
}

fn partitions_follow_their_root(database: Database) {
    set_up(&database);
    database.execute("create table root (id int, primary key (id)) partition by range (id)");
    database.execute("create table leaf partition of root for values from (0) to (10)");
    database.execute("insert into root values (1); update root set id = 2; delete from root");
    let published = "select string_agg(distinct tablename, ' ') from pg_publication_tables where pubname like 'pgstream_changes_%'";
    assert_eq!(database.value(published), "leaf");
    database.execute("create table bare (id int) partition by range (id)");
    database
        .execute("create table with_key partition of bare (primary key (id)) for values from (0) to (10)");
    database.execute("create table without_key partition of bare for values from (10) to (20)");
    database.execute("insert into bare values (1), (11); update bare set id = id + 1; delete from bare");
    let published = database.rows("select distinct tablename from pg_publication_tables where pubname like 'pgstream_changes_%' order by 1");
    assert_eq!(published, [["leaf"], ["with_key"]]);
}

fn a_bare_drop_leaves_nothing_behind(database: Database) {
    database.execute("create table t (id int primary key)");
    set_up(&database);
    let extension = database.value("select count(*) from pg_extension where extname = 'pgstream'") == "1";
    database.execute(if extension { "drop extension pgstream" } else { "drop schema pgstream cascade" });
    assert_eq!(database.value("select count(*) from pg_publication"), "0");
    assert_eq!(database.value("select count(*) from pg_event_trigger"), "0");
    database.execute("create table u (id int primary key); drop table t; update u set id = 1");
}
