//! `pgstream.xid`: twelve bytes as twenty characters, as published by rs/xid.

use pgstream_tests::Database;

use super::on_both_installs;

on_both_installs!(
    published_values_come_out_right,
    ids_are_unique_and_tell_what_made_them,
    what_is_no_id_is_refused
);

fn published_values_come_out_right(database: Database) {
    let vectors = [
        ("9m4e2mr0ui3e8a215n4g", "{77,136,225,91,96,244,134,228,40,65,45,201}"),
        ("00000000000000000000", "{0,0,0,0,0,0,0,0,0,0,0,0}"),
        ("vvvvvvvvvvvvvvvvvvvg", "{255,255,255,255,255,255,255,255,255,255,255,255}"),
    ];
    for (text, bytes) in vectors {
        assert_eq!(database.value(&format!("select pgstream.xid_encode('{bytes}')")), text);
        assert_eq!(database.value(&format!("select pgstream.xid_decode('{text}')")), bytes);
    }
    let parts = "select extract(epoch from pgstream.xid_time(x))::bigint, pgstream.xid_machine(x), \
                 pgstream.xid_pid(x), pgstream.xid_counter(x) from (values ('9m4e2mr0ui3e8a215n4g'::pgstream.xid)) v (x)";
    assert_eq!(database.rows(parts), [["1300816219", "{96,244,134}", "58408", "4271561"]]);
}

fn ids_are_unique_and_tell_what_made_them(database: Database) {
    let mut session = database.session();
    assert_eq!(session.value("select count(distinct pgstream.xid()) from generate_series(1, 1000)"), "1000");
    let about = "select pgstream.xid_pid(x) = pg_backend_pid() & 65535, pgstream.xid_time(x) = '2024-02-29 12:30:01+00', \
                 (pgstream.xid_machine(x))[3] = (system_identifier & 255)::int \
                 from pgstream.xid(timestamptz '2024-02-29 12:30:01+00') x, pg_control_system()";
    assert_eq!(session.rows(about), [["t", "t", "t"]]);
}

fn what_is_no_id_is_refused(database: Database) {
    for text in ["", "9m4e2mr0ui3e8a215n4", "9M4E2MR0UI3E8A215N4G", "9m4e2mr0ui3e8a215n4w"] {
        let error = database.error(&format!("select '{text}'::pgstream.xid"));
        assert!(error.starts_with("23514 "), "{text}: {error}");
    }
}
