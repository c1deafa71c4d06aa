//! Names of built-in types as `format_type` prints them, so that the stream says `character varying(10)` as the catalogue does.

/// The type's name with its modifier; `None` for a type that is not built in.
pub fn built_in(oid: u32, modifier: i32) -> Option<String> {
    if let Some(element) = array_element(oid) {
        return Some(format!("{}[]", built_in(element, modifier)?));
    }
    Some(match oid {
        1042 if modifier < 4 => "bpchar".into(),
        1042 => format!("character({})", modifier - 4),
        1043 if modifier < 4 => "character varying".into(),
        1043 => format!("character varying({})", modifier - 4),
        1560 if modifier < 0 => "bit".into(),
        1560 => format!("bit({modifier})"),
        1562 if modifier < 0 => "bit varying".into(),
        1562 => format!("bit varying({modifier})"),
        1700 if modifier < 4 => "numeric".into(),
        1700 => {
            let packed = modifier - 4;
            // Precision in the upper half, an 11-bit signed scale in the lower.
            format!("numeric({},{})", (packed >> 16) & 0xffff, ((packed & 0x7ff) ^ 1024) - 1024)
        }
        1083 => format!("time{} without time zone", precision(modifier)),
        1266 => format!("time{} with time zone", precision(modifier)),
        1114 => format!("timestamp{} without time zone", precision(modifier)),
        1184 => format!("timestamp{} with time zone", precision(modifier)),
        1186 => interval(modifier),
        _ => SIMPLE.iter().find(|(simple, _)| *simple == oid)?.1.into(),
    })
}

fn precision(modifier: i32) -> String {
    if modifier < 0 {
        String::new()
    } else {
        format!("({modifier})")
    }
}

/// An interval's modifier: field mask in the upper half, precision in the lower (0xFFFF = none).
fn interval(modifier: i32) -> String {
    if modifier < 0 {
        return "interval".into();
    }
    const FIELDS: [(i32, &str); 13] = [
        (1 << 2, " year"),
        (1 << 1, " month"),
        (1 << 3, " day"),
        (1 << 10, " hour"),
        (1 << 11, " minute"),
        (1 << 12, " second"),
        (1 << 2 | 1 << 1, " year to month"),
        (1 << 3 | 1 << 10, " day to hour"),
        (1 << 3 | 1 << 10 | 1 << 11, " day to minute"),
        (1 << 3 | 1 << 10 | 1 << 11 | 1 << 12, " day to second"),
        (1 << 10 | 1 << 11, " hour to minute"),
        (1 << 10 | 1 << 11 | 1 << 12, " hour to second"),
        (1 << 11 | 1 << 12, " minute to second"),
    ];
    let mask = (modifier >> 16) & 0x7fff;
    let fields = FIELDS.iter().find(|(fields, _)| *fields == mask).map_or("", |(_, text)| text);
    match modifier & 0xffff {
        0xffff => format!("interval{fields}"),
        digits => format!("interval{fields}({digits})"),
    }
}

/// Whether the event format writes this type's values as bare JSON numbers.
pub fn is_number(oid: u32) -> bool {
    // int8 int2 int4 oid float4 float8 numeric
    matches!(oid, 20 | 21 | 23 | 26 | 700 | 701 | 1700)
}

/// The built-in scalar type of that internal name (`pg_type.typname`).
pub fn internal(name: &str) -> Option<u32> {
    const ALIASES: [(&str, u32); 17] = [
        ("bool", 16),
        ("int8", 20),
        ("int2", 21),
        ("int4", 23),
        ("char", 18),
        ("float4", 700),
        ("float8", 701),
        ("bpchar", 1042),
        ("varchar", 1043),
        ("time", 1083),
        ("timestamp", 1114),
        ("timestamptz", 1184),
        ("interval", 1186),
        ("timetz", 1266),
        ("bit", 1560),
        ("varbit", 1562),
        ("numeric", 1700),
    ];
    let simple = SIMPLE.iter().find(|(_, simple)| *simple == name).map(|(oid, _)| *oid);
    ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, oid)| *oid).or(simple)
}

/// The type of a built-in array's elements.
pub fn array_element(oid: u32) -> Option<u32> {
    ARRAYS.iter().find(|(array, _)| *array == oid).map(|(_, element)| *element)
}

const SIMPLE: [(u32, &str); 66] = [
    (16, "boolean"),
    (17, "bytea"),
    (18, "\"char\""),
    (19, "name"),
    (20, "bigint"),
    (21, "smallint"),
    (22, "int2vector"),
    (23, "integer"),
    (24, "regproc"),
    (25, "text"),
    (26, "oid"),
    (27, "tid"),
    (28, "xid"),
    (29, "cid"),
    (30, "oidvector"),
    (114, "json"),
    (142, "xml"),
    (600, "point"),
    (601, "lseg"),
    (602, "path"),
    (603, "box"),
    (604, "polygon"),
    (628, "line"),
    (650, "cidr"),
    (700, "real"),
    (701, "double precision"),
    (718, "circle"),
    (774, "macaddr8"),
    (790, "money"),
    (829, "macaddr"),
    (869, "inet"),
    (1033, "aclitem"),
    (1082, "date"),
    (1790, "refcursor"),
    (2202, "regprocedure"),
    (2203, "regoper"),
    (2204, "regoperator"),
    (2205, "regclass"),
    (2206, "regtype"),
    (2950, "uuid"),
    (2970, "txid_snapshot"),
    (3220, "pg_lsn"),
    (3614, "tsvector"),
    (3615, "tsquery"),
    (3642, "gtsvector"),
    (3734, "regconfig"),
    (3769, "regdictionary"),
    (3802, "jsonb"),
    (3904, "int4range"),
    (3906, "numrange"),
    (3908, "tsrange"),
    (3910, "tstzrange"),
    (3912, "daterange"),
    (3926, "int8range"),
    (4072, "jsonpath"),
    (4089, "regnamespace"),
    (4096, "regrole"),
    (4191, "regcollation"),
    (4451, "int4multirange"),
    (4532, "nummultirange"),
    (4533, "tsmultirange"),
    (4534, "tstzmultirange"),
    (4535, "datemultirange"),
    (4536, "int8multirange"),
    (5038, "pg_snapshot"),
    (5069, "xid8"),
];

const ARRAYS: [(u32, u32); 76] = [
    (1000, 16),
    (1001, 17),
    (1002, 18),
    (1003, 19),
    (1016, 20),
    (1005, 21),
    (1006, 22),
    (1007, 23),
    (1008, 24),
    (1009, 25),
    (1028, 26),
    (1010, 27),
    (1011, 28),
    (1012, 29),
    (1013, 30),
    (199, 114),
    (143, 142),
    (1017, 600),
    (1018, 601),
    (1019, 602),
    (1020, 603),
    (1027, 604),
    (629, 628),
    (651, 650),
    (1021, 700),
    (1022, 701),
    (719, 718),
    (775, 774),
    (791, 790),
    (1040, 829),
    (1041, 869),
    (1034, 1033),
    (1014, 1042),
    (1015, 1043),
    (1182, 1082),
    (1183, 1083),
    (1115, 1114),
    (1185, 1184),
    (1187, 1186),
    (1270, 1266),
    (1561, 1560),
    (1563, 1562),
    (1231, 1700),
    (2201, 1790),
    (2207, 2202),
    (2208, 2203),
    (2209, 2204),
    (2210, 2205),
    (2211, 2206),
    (2951, 2950),
    (2949, 2970),
    (3221, 3220),
    (3643, 3614),
    (3645, 3615),
    (3644, 3642),
    (3735, 3734),
    (3770, 3769),
    (3807, 3802),
    (3905, 3904),
    (3907, 3906),
    (3909, 3908),
    (3911, 3910),
    (3913, 3912),
    (3927, 3926),
    (4073, 4072),
    (4090, 4089),
    (4097, 4096),
    (4192, 4191),
    (6150, 4451),
    (6151, 4532),
    (6152, 4533),
    (6153, 4534),
    (6155, 4535),
    (6157, 4536),
    (5039, 5038),
    (271, 5069),
];

#[cfg(test)]
mod tests {
    use super::built_in;

    #[test]
    fn names_carry_their_modifiers() {
        let cases = [
            (1043, 14, "character varying(10)"),
            (1700, 655_366, "numeric(10,2)"),
            (1700, -1, "numeric"),
            (1114, 3, "timestamp(3) without time zone"),
            (1184, -1, "timestamp with time zone"),
            (1015, 14, "character varying(10)[]"),
            (1007, -1, "integer[]"),
            (1042, 7, "character(3)"),
            (1186, -1, "interval"),
        ];
        for (oid, modifier, name) in cases {
            assert_eq!(built_in(oid, modifier).as_deref(), Some(name));
        }
        assert_eq!(built_in(99_999, -1), None);
    }
}
