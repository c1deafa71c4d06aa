use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::event::Value;

fn message(build: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    build(&mut out);
    out.freeze()
}

fn begin() -> Bytes {
    message(|out| {
        out.put_u8(b'B');
        out.put_u64(0x20);
        out.put_i64(1);
        out.put_u32(7);
    })
}

fn commit() -> Bytes {
    message(|out| {
        out.put_u8(b'C');
        out.put_u8(0);
        out.put_u64(0x20);
        out.put_u64(0x30);
        out.put_i64(1);
    })
}

/// A table `public.t(id integer key, note text)` with oid 5.
fn relation() -> Bytes {
    message(|out| {
        out.put_u8(b'R');
        out.put_u32(5);
        out.put_slice(b"public\0t\0d");
        out.put_u16(2);
        out.put_slice(b"\x01id\0");
        out.put_u32(23);
        out.put_i32(-1);
        out.put_slice(b"\0note\0");
        out.put_u32(25);
        out.put_i32(-1);
    })
}

fn insert() -> Bytes {
    message(|out| {
        out.put_slice(b"I\0\0\0\x05N\0\x02t\0\0\0\x011n");
    })
}

fn decode_all(messages: &[Bytes]) -> Vec<Result<Option<Event>>> {
    let mut decoder = Decoder::default();
    messages.iter().map(|message| decoder.decode(Lsn(1), message.clone())).collect()
}

#[test]
fn a_transaction_comes_out_as_it_went_in() {
    let events: Vec<Event> = decode_all(&[begin(), relation(), insert(), commit()])
        .into_iter()
        .filter_map(|decoded| decoded.expect("valid"))
        .collect();
    let [Event::Begin(begin), Event::Change(change), Event::Commit(commit)] = &events[..] else {
        panic!("unexpected events: {events:?}")
    };
    assert_eq!((begin.xid, begin.commit_lsn, commit.end), (7, Lsn(0x20), Lsn(0x30)));
    let RowChange::Insert { new } = &change.row else { panic!("not an insert") };
    assert_eq!(new.values().collect::<Vec<_>>(), [Value::Text(b"1"), Value::Null]);
    assert_eq!(change.relation.to_string(), "public.t");
    assert_eq!(&*change.relation.columns[0].type_name, "integer");
    assert!(change.relation.columns[0].key && !change.relation.columns[1].key);
}

#[test]
fn users_types_have_their_names() {
    let describe = |oid: u32, schema: &str, name: &str| {
        message(|out| {
            out.put_u8(b'Y');
            out.put_u32(oid);
            out.put_slice(format!("{schema}\0{name}\0").as_bytes());
        })
    };
    let mut decoder = Decoder::default();
    for (oid, schema, name, type_name, base) in [
        (20_000, "public", "mood", "mood", 20_000),
        (20_001, "app", "_Mood", "app.\"Mood\"[]", 20_001),
        (20_002, "", "int4", "integer", 23),
        (20_003, "pg_catalog", "timestamptz", "timestamp with time zone", 1184),
    ] {
        decoder.decode(Lsn(1), describe(oid, schema, name)).expect("a type");
        let column = column("c".into(), oid, -1, false, decoder.types.get(&oid));
        assert_eq!((&*column.type_name, column.type_oid), (type_name, base));
    }
}

#[test]
fn a_keepalive_counts_only_between_transactions() {
    let mut decoder = Decoder::default();
    assert!(matches!(decoder.keepalive(Lsn(9)), Some(Event::Keepalive(Lsn(9)))));
    decoder.decode(Lsn(1), begin()).expect("begin");
    assert!(decoder.keepalive(Lsn(9)).is_none());
    decoder.decode(Lsn(1), commit()).expect("commit");
    assert!(decoder.keepalive(Lsn(9)).is_some());
}

#[test]
fn what_is_not_pgoutput_is_refused() {
    let narrow = message(|out| out.put_slice(b"I\0\0\0\x05N\0\x01n"));
    let too_long = message(|out| out.put_slice(b"I\0\0\0\x05N\0\x02nn!"));
    for (messages, why) in [
        (vec![commit()], "a commit without a transaction"),
        (vec![begin(), begin()], "inside another"),
        (vec![begin(), insert()], "not described"),
        (vec![relation(), insert()], "outside of a transaction"),
        (vec![begin(), relation(), narrow], "as wide as"),
        (vec![begin(), relation(), too_long], "longer than"),
        (vec![Bytes::new()], "cut off"),
        (vec![Bytes::from_static(b"{\"action\":\"I\"}")], "unknown message type"),
    ] {
        let error = decode_all(&messages).pop().expect("one").expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }
}

proptest! {
    /// Any bytes, in any state of the decoder: an event or an error, never a panic.
    #[test]
    fn never_panics_on_any_bytes(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..8)) {
        let mut decoder = Decoder::default();
        for bytes in [begin(), relation()] {
            let _ = decoder.decode(Lsn(1), bytes);
        }
        for bytes in messages {
            let _ = decoder.decode(Lsn(1), Bytes::from(bytes));
        }
    }

    /// Bytes that begin like a real message reach the deeper parts.
    #[test]
    fn never_panics_on_damaged_messages(which in 0..4usize, at in 0..64usize, value: u8, cut in 0..64usize) {
        let mut bytes = [begin(), relation(), insert(), commit()][which].to_vec();
        if let Some(byte) = bytes.get_mut(at) { *byte = value; }
        bytes.truncate(bytes.len().max(cut) - cut.min(bytes.len()));
        let mut decoder = Decoder::default();
        for message in [begin(), relation(), Bytes::from(bytes)] {
            if let Ok(Some(Event::Change(change))) = decoder.decode(Lsn(1), message) {
                let RowChange::Insert { new } = change.row else { continue };
                prop_assert_eq!(new.values().count(), new.len());
            }
        }
    }
}
