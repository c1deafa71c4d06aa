//! A broker that asks who is there: listeners with TLS and with logins, users, and what each of these may do.
//!
//! ```text
//! Door::Tls          ┐  certificate of the server              nobody in particular
//! Door::BothWays     ├─ and of the client ───────────────────> CN=client
//! Door::Misnamed     ┘  of another server
//! Door::Login        ┐  user and password, or token ─────────> that user, and what it may do
//! Door::LoginOverTls ┘
//! ```
//!
//! By the plain listener, which the tests use themselves, everything may be done.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::certificates::Authority;
use crate::run::home;
use crate::server::free_port;
use crate::{Broker, BrokerOptions};

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// TLS.
    Tls,
    /// TLS, and the client has to show a certificate as well.
    BothWays,
    /// TLS with a certificate that was made for another host.
    Misnamed,
    /// SASL without TLS.
    Login,
    /// SASL within TLS.
    LoginOverTls,
}

/// All of them: name and protocol of the listener.
const DOORS: [(Door, &str, &str); 5] = [
    (Door::Tls, "TLS", "SSL"),
    (Door::BothWays, "BOTH", "SSL"),
    (Door::Misnamed, "MISNAMED", "SSL"),
    (Door::Login, "LOGIN", "SASL_PLAINTEXT"),
    (Door::LoginOverTls, "LOGINTLS", "SASL_SSL"),
];

/// What each user may do with all topics, all groups, all transactional ids. `admin` may do everything, `nobody` nothing. The user of a token is its
/// subject.
const RIGHTS: [(&str, Thing, Deed); 15] = [
    ("writer", Thing::Topic, Deed::Write),
    ("writer", Thing::Topic, Deed::Describe),
    ("writer", Thing::Transaction, Deed::Write),
    ("writer", Thing::Transaction, Deed::Describe),
    ("maker", Thing::Topic, Deed::Create),
    ("maker", Thing::Topic, Deed::Write),
    ("maker", Thing::Topic, Deed::Describe),
    ("reader", Thing::Topic, Deed::Read),
    ("reader", Thing::Group, Deed::Read),
    ("watcher", Thing::Topic, Deed::Describe),
    ("watcher", Thing::Group, Deed::Read),
    ("ungrouped", Thing::Topic, Deed::Read),
    ("CN=client", Thing::Topic, Deed::Write),
    ("CN=client", Thing::Topic, Deed::Read),
    ("CN=client", Thing::Group, Deed::Read),
];

/// What a right is about, as the protocol numbers it.
#[derive(Clone, Copy)]
enum Thing {
    Topic = 2,
    Group = 3,
    Transaction = 5,
}

/// What is allowed, as the protocol numbers it.
#[derive(Clone, Copy)]
enum Deed {
    Read = 3,
    Write = 4,
    Create = 5,
    Describe = 8,
}

/// Everybody who can log in by a password.
const USERS: [&str; 7] = ["admin", "writer", "maker", "reader", "watcher", "ungrouped", "nobody"];

/// The broker and its doors.
pub struct Secured {
    /// The broker; by its plain listener it takes everything from everybody.
    pub broker: Arc<Broker>,
    ports: Vec<(Door, u16)>,
    folder: PathBuf,
}

impl Secured {
    /// The one shared by the tests of this process.
    pub fn shared() -> &'static Secured {
        static SHARED: OnceLock<Secured> = OnceLock::new();
        SHARED.get_or_init(Secured::start)
    }

    fn start() -> Secured {
        let folder = home().folder.join("certificates");
        fs::create_dir_all(folder.join("other")).expect("make a folder for certificates");
        let authority = Authority::new(&folder);
        authority.issue("server", "DNS:localhost,IP:127.0.0.1");
        authority.issue("misnamed", "DNS:elsewhere.example");
        authority.issue("client", "DNS:client.example");
        Authority::new(&folder.join("other"));
        for name in ["server", "misnamed"] {
            let part = |ending: &str| fs::read_to_string(folder.join(format!("{name}.{ending}")));
            let both = [part("key"), part("crt")].map(|part| part.expect("read a certificate")).concat();
            fs::write(folder.join(format!("{name}.pem")), both).expect("write a key and its certificate");
        }
        let ports: Vec<(Door, u16)> = DOORS.iter().map(|(door, ..)| (*door, free_port())).collect();
        let secured = Secured { broker: Broker::start(&options(&folder, &ports)), ports, folder };
        secured.grant();
        secured
    }

    /// By a request of the protocol itself (CreateAcls, version 1): no client here has it, and Kafka's own program takes seconds for each user.
    fn grant(&self) {
        const CREATE_ACLS: i16 = 30;
        let (any, plain, allow) = (b"*", 3, 3);
        let mut request = [CREATE_ACLS.to_be_bytes(), 1_i16.to_be_bytes()].concat();
        request.extend(7_i32.to_be_bytes());
        put(&mut request, b"pgstream-tests");
        request.extend(i32::try_from(RIGHTS.len()).expect("a few rights").to_be_bytes());
        for (user, thing, deed) in RIGHTS {
            request.push(thing as u8);
            put(&mut request, any);
            request.push(plain);
            put(&mut request, format!("User:{user}").as_bytes());
            put(&mut request, any);
            request.extend([deed as u8, allow]);
        }
        let mut broker = TcpStream::connect(self.broker.servers()).expect("connect to a broker");
        let length = u32::try_from(request.len()).expect("a short request");
        broker.write_all(&[&length.to_be_bytes()[..], &request].concat()).expect("ask a broker");
        let mut length = [0; 4];
        broker.read_exact(&mut length).expect("a broker's answer");
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("a short answer")];
        broker.read_exact(&mut answer).expect("a broker's answer");
        // Number of the request, time it was held back, how many answers; and of each right a code and an empty text.
        let refused = answer.get(12..).expect("an answer").chunks(4).any(|one| !one.starts_with(&[0, 0]));
        assert!(!refused, "the broker does not grant these rights: {answer:?}");
    }

    /// For clients: `bootstrap.servers`.
    pub fn servers(&self, door: Door) -> String {
        let port = self.ports.iter().find(|(known, _)| *known == door).map(|(_, port)| *port);
        format!("127.0.0.1:{}", port.expect("a door with a port"))
    }

    /// A file in PEM form: `ca.crt`, `client.crt`, `client.key`, `other/ca.crt` (an authority that signed nothing here).
    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The password of a user.
    pub fn password(user: &str) -> String {
        format!("word-of-{user}")
    }
}

/// Text as the protocol has it.
fn put(request: &mut Vec<u8>, text: &[u8]) {
    request.extend(i16::try_from(text.len()).expect("a short text").to_be_bytes());
    request.extend(text);
}

fn options(folder: &Path, ports: &[(Door, u16)]) -> BrokerOptions {
    let file = |name: &str| folder.join(name).display().to_string();
    let protocols = DOORS.map(|(_, name, protocol)| format!(",{name}:{protocol}")).concat();
    let mut conf = vec![
        format!("listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}"),
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        "super.users=User:ANONYMOUS;User:admin".to_owned(),
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
    ];
    let mut listeners = Vec::new();
    for ((door, name, protocol), (_, port)) in DOORS.iter().zip(ports) {
        listeners.push(format!("{name}://127.0.0.1:{port}"));
        let mut set = |key: &str, value: &str| {
            conf.push(format!("listener.name.{}.{key}={value}", name.to_lowercase()));
        };
        if protocol.ends_with("SSL") {
            let certificate = if *door == Door::Misnamed { "misnamed.pem" } else { "server.pem" };
            set("ssl.keystore.type", "PEM");
            set("ssl.keystore.location", &file(certificate));
            set("ssl.truststore.type", "PEM");
            set("ssl.truststore.location", &file("ca.crt"));
            set("ssl.client.auth", if *door == Door::BothWays { "required" } else { "none" });
        }
        if protocol.starts_with("SASL") {
            let module = "org.apache.kafka.common.security";
            let users = USERS.map(|user| format!(" user_{user}=\"{}\"", Secured::password(user))).concat();
            set("plain.sasl.jaas.config", &format!("{module}.plain.PlainLoginModule required{users};"));
            for scram in ["scram-sha-256", "scram-sha-512"] {
                set(
                    &format!("{scram}.sasl.jaas.config"),
                    &format!("{module}.scram.ScramLoginModule required;"),
                );
            }
            // Tokens without a signature: who they name is believed.
            let bearer = format!("{module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"admin\";");
            set("oauthbearer.sasl.jaas.config", &bearer);
        }
    }
    let scram = |mechanism: &str, user: &str| {
        ["--add-scram".to_owned(), format!("{mechanism}=[name={user},password={}]", Secured::password(user))]
    };
    let users = ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|mechanism| USERS.map(|user| scram(mechanism, user)));
    let format = users.into_iter().flatten().flatten().collect();
    BrokerOptions { conf, listeners, format, ..BrokerOptions::default() }
}
