//! Kafka with TLS, logins and rights: what gets in, and what a user reads who does not. Everything runs at the most talkative log level, and no
//! secret may be in what it says.

use pgstream_tests::{wait_until, Database, Door, Secured, Sidecar, LONG};

use super::init;

/// Somebody who wants in.
#[derive(Clone)]
struct Client {
    door: Door,
    variables: Vec<(&'static str, String)>,
    /// What must never be said.
    secrets: Vec<String>,
    token: Option<String>,
}

fn by(door: Door) -> Client {
    Client { door, variables: Vec::new(), secrets: Vec::new(), token: None }
}

impl Client {
    fn set(mut self, name: &'static str, value: impl Into<String>) -> Client {
        self.variables.push((name, value.into()));
        self
    }

    /// With a certificate file of the broker's folder.
    fn file(self, name: &'static str, file: &str) -> Client {
        self.set(name, Secured::shared().file(file))
    }

    fn trusting(self, authority: &str) -> Client {
        self.file("PGSTREAM_KAFKA_TLS_CA_CERT_FILE", authority)
    }

    fn certified(self) -> Client {
        self.file("PGSTREAM_KAFKA_TLS_CLIENT_CERT_FILE", "client.crt")
            .file("PGSTREAM_KAFKA_TLS_CLIENT_KEY_FILE", "client.key")
    }

    fn login(mut self, mechanism: &str, user: &str, password: &str) -> Client {
        self.secrets.push(password.to_owned());
        self.set("PGSTREAM_KAFKA_SASL_MECHANISM", mechanism)
            .set("PGSTREAM_KAFKA_SASL_USERNAME", user)
            .set("PGSTREAM_KAFKA_SASL_PASSWORD", password)
    }

    /// By the mechanism that is taken where none is said.
    fn user(mut self, user: &str) -> Client {
        let password = Secured::password(user);
        self.secrets.push(password.clone());
        self.set("PGSTREAM_KAFKA_SASL_USERNAME", user).set("PGSTREAM_KAFKA_SASL_PASSWORD", password)
    }

    fn token(mut self, token: &str) -> Client {
        self.secrets.push(token.to_owned());
        self.token = Some(token.to_owned());
        self.set("PGSTREAM_KAFKA_SASL_TOKEN_FILE", "token")
    }

    fn sidecar(&self, topic: &str, args: &[&str]) -> Sidecar {
        let servers = Secured::shared().servers(self.door);
        let mut sidecar = Sidecar::new(["run", "--log-level", "trace"].iter().chain(args));
        if let Some(token) = &self.token {
            sidecar = sidecar.file("token", &format!("{token}\n"));
        }
        sidecar = sidecar.env("PGSTREAM_KAFKA_SERVERS", &servers).env("PGSTREAM_KAFKA_TOPIC_NAME", topic);
        self.variables.iter().fold(sidecar, |sidecar, (name, value)| sidecar.env(name, value))
    }

    fn writer(&self, source: &Database, topic: &str) -> Sidecar {
        self.sidecar(topic, &["--source", "postgres", "--source-url", &source.url(), "--target", "kafka"])
    }

    fn reader(&self, topic: &str) -> Sidecar {
        let group = format!("{topic}-group");
        self.sidecar(topic, &["--source", "kafka", "--target", "stdout"])
            .env("PGSTREAM_KAFKA_READER_CONSUMER_GROUP_ID", &group)
    }

    #[track_caller]
    fn assert_silent(&self, said: &str) {
        for secret in &self.secrets {
            assert!(!said.contains(secret.as_str()), "{secret} is in:\n{said}");
        }
    }

    /// It ends by itself, and says these on its last line.
    #[track_caller]
    fn assert_refused(&self, sidecar: Sidecar, parts: &[&str]) {
        let finished = sidecar.finish();
        self.assert_silent(&finished.stderr);
        assert_eq!(finished.code, Some(1), "{}", finished.stderr);
        let last = finished.stderr.lines().last().unwrap_or_default();
        for part in parts {
            assert!(last.contains(part), "{part} is not in: {last}\nof:\n{}", finished.stderr);
        }
    }
}

/// One row through a topic, by these two.
#[track_caller]
fn there_and_back(name: &str, writing: &Client, reading: &Client) {
    let source = Database::on_source();
    source.execute("create table t (id int primary key)");
    init(&source);
    let secured = Secured::shared();
    let topic = secured.broker.topic(name);
    secured.broker.create(&topic, 1);
    let writer = writing.writer(&source, &topic).start();
    let reader = reading.reader(&topic).start();
    writer.wait_for_line("streaming", LONG);
    source.execute("insert into t values (4711)");
    reader.wait_for_line("\"value\":4711", LONG);
    for (client, sidecar) in [(writing, &writer), (reading, &reader)] {
        assert_eq!(sidecar.stop().code(), Some(0), "{}", sidecar.stderr());
        client.assert_silent(&sidecar.stderr());
    }
}

#[test]
fn a_broker_with_a_certificate() {
    let client = by(Door::Tls).trusting("ca.crt");
    there_and_back("tls", &client, &client);
}

#[test]
fn both_with_certificates() {
    let client = by(Door::BothWays).trusting("ca.crt").certified();
    there_and_back("both_ways", &client, &client);
}

#[test]
fn a_user_by_plain() {
    let user =
        |name: &str| by(Door::LoginOverTls).trusting("ca.crt").login("PLAIN", name, &Secured::password(name));
    there_and_back("plain", &user("writer"), &user("reader"));
}

/// The rights that the documentation names are enough.
#[test]
fn a_user_by_scram() {
    let user = |name: &str| by(Door::Login).login("SCRAM-SHA-256", name, &Secured::password(name));
    there_and_back("scram_256", &user("writer"), &user("reader"));
    let user = |name: &str| by(Door::LoginOverTls).trusting("ca.crt").user(name);
    there_and_back("scram_512", &user("writer"), &user("reader"));
}

/// A token without a signature: the broker of these tests believes what it says.
fn token(subject: &str, until: u64) -> String {
    let part = |text: &str| {
        let code = format!("select translate(encode('{text}', 'base64'), e'+/=\\n', '-_')");
        Database::on_source().value(&code)
    };
    format!("{}.{}.", part("{\"alg\":\"none\"}"), part(&format!("{{\"sub\":\"{subject}\",\"exp\":{until}}}")))
}

#[test]
fn a_token() {
    const FAR: u64 = 4_000_000_000;
    let user = |name: &str| by(Door::LoginOverTls).trusting("ca.crt").token(&token(name, FAR));
    there_and_back("token", &user("writer"), &user("reader"));
    let old = by(Door::Login).token(&token("reader", 1_000_000_000));
    old.assert_refused(old.reader("x"), &["or the token"]);
}

/// What a human must mend ends the run at once, with one line that says what.
#[test]
fn certificates_that_are_not_accepted() {
    let stranger = by(Door::Tls).trusting("other/ca.crt");
    stranger.assert_refused(stranger.reader("x"), &["certificate verify failed", "tls.ca_cert"]);
    let source = Database::on_source();
    init(&source);
    stranger.assert_refused(
        stranger.writer(&source, "x"),
        &["target: ", "certificate verify failed", "tls.ca_cert"],
    );
    let misnamed = by(Door::Misnamed).trusting("ca.crt");
    misnamed.assert_refused(misnamed.reader("x"), &["certificate verify failed", "the names in"]);
    let bare = by(Door::BothWays).trusting("ca.crt");
    bare.assert_refused(bare.reader("x"), &["bad certificate", "tls.client_cert"]);
}

#[test]
fn passwords_that_are_wrong() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let client = by(Door::Login).login(mechanism, "reader", "not-the-word");
        client.assert_refused(
            client.reader("x"),
            &["uthentication failed", "check mechanism, user and password"],
        );
    }
    let source = Database::on_source();
    init(&source);
    let client = by(Door::LoginOverTls).trusting("ca.crt").login("SCRAM-SHA-512", "writer", "not-the-word");
    client.assert_refused(client.writer(&source, "x"), &["target: ", "uthentication failed"]);
    // Who does not log in where one has to is told by silence only.
    let nobody = by(Door::Login);
    nobody.assert_refused(nobody.reader("x"), &["no broker answers", "TLS or a login"]);
}

/// Each right that is missing is named.
#[test]
fn rights_that_are_missing() {
    let (secured, source) = (Secured::shared(), Database::on_source());
    source.execute("create table t (id int primary key)");
    init(&source);
    let topic = secured.broker.topic("rights");
    secured.broker.create(&topic, 1);
    let user = |name: &str| by(Door::Login).user(name);
    let refused = |user: &Client, topic: &str, make: &str, parts: &[&str]| {
        let sidecar = user.writer(&source, topic).env("PGSTREAM_KAFKA_TOPIC_AUTO_CREATE", make);
        user.assert_refused(sidecar, parts);
    };
    refused(&user("nobody"), &topic, "false", &[&topic, "grant this user DESCRIBE"]);
    refused(&user("nobody"), "no_such", "true", &["no_such", "grant this user CREATE"]);
    refused(&user("writer"), "no_such", "true", &["no_such", "grant this user CREATE"]);
    source.execute("insert into t values (1)");
    refused(&user("watcher"), &topic, "false", &["target: ", &topic, "WRITE"]);
    let group = user("ungrouped");
    group.assert_refused(group.reader(&topic), &["source: ", "READ on the consumer group"]);
    let watcher = user("watcher");
    watcher.assert_refused(watcher.reader(&topic), &["source: ", &topic, "READ to read"]);
}

/// A topic that is made by who may.
#[test]
fn a_user_that_may_make_topics() {
    let source = Database::on_source();
    source.execute("create table t (id int primary key)");
    init(&source);
    let secured = Secured::shared();
    let (topic, maker) = (secured.broker.topic("made"), by(Door::Login).user("maker"));
    let sidecar = maker.writer(&source, &topic).start();
    sidecar.wait_for_line("streaming", LONG);
    source.execute("insert into t values (1)");
    wait_until("the row", LONG, || {
        let mut values = secured.broker.all(&topic).into_iter().filter_map(|message| message.value);
        values.any(|value| value.contains("\"table\":\"t\"")).then_some(())
    });
    assert_eq!(sidecar.stop().code(), Some(0));
    maker.assert_silent(&sidecar.stderr());
}
