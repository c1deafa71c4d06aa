//! The tutorial `postgres to kafka and on`, literally but for addresses: its commands, files and SQL.

use pgstream_tests::{
    assert_same, wait_until, Broker, BrokerOptions, Database, Engine, Node, Options, Server, Sidecar, LONG,
};
use serde_json::json;

use super::table_id;

const SLOT: &str = "pgstream_tutorial_slot";

const WRITER_ENV: &str = r#"# Listener config
PGSTREAM_POSTGRES_LISTENER_URL="postgres://postgres:postgres@localhost:5432?sslmode=disable"
PGSTREAM_POSTGRES_REPLICATION_SLOT_NAME=pgstream_tutorial_slot
PGSTREAM_POSTGRES_SNAPSHOT_STORE_URL="postgres://postgres:postgres@localhost:5432?sslmode=disable"
# Initial snapshot of all tables in the public schema
PGSTREAM_POSTGRES_SNAPSHOT_TABLES="*"

# Processor config
PGSTREAM_INJECTOR_STORE_POSTGRES_URL="postgres://postgres:postgres@localhost:5432?sslmode=disable"
PGSTREAM_KAFKA_WRITER_SERVERS="localhost:9092"
PGSTREAM_KAFKA_TOPIC_NAME=pgstream
PGSTREAM_KAFKA_TOPIC_PARTITIONS=1
PGSTREAM_KAFKA_TOPIC_REPLICATION_FACTOR=1
PGSTREAM_KAFKA_TOPIC_AUTO_CREATE=true
"#;

const WRITER_YAML: &str = r#"source:
  postgres:
    url: "postgres://postgres:postgres@localhost:5432?sslmode=disable"
    mode: replication
    replication:
      replication_slot: "pgstream_tutorial_slot"
target:
  kafka:
    servers: ["localhost:9092"]
    topic:
      name: "pgstream" # name of the Kafka topic
      partitions: 1 # number of partitions for the topic
      replication_factor: 1 # replication factor for the topic
      auto_create: true # whether to automatically create the topic if it doesn't exist
modifiers:
  injector:
    enabled: true # whether to inject pgstream metadata into the WAL events
"#;

/// With a tab, as it is printed there. Its mode is replication: what it says of snapshots is for other modes.
const SNAPSHOT_YAML: &str = "source:
  postgres:
    url: \"postgres://postgres:postgres@localhost:5432?sslmode=disable\"
    mode: replication
    replication:
      replication_slot: \"pgstream_tutorial_slot\"
\tsnapshot: # when mode is snapshot or snapshot_and_replication
      mode: full # options are data_and, schema or data
      tables: [\"*\"] # tables to snapshot, can be a list of table names or a pattern
      recorder:
        repeatable_snapshots: true # whether to repeat snapshots that have already been taken
        postgres_url: \"postgres://postgres:postgres@localhost:5432?sslmode=disable\" # URL of the database where the snapshot status is recorded
      schema: # when mode is full or schema
        mode: pgdump_pgrestore # options are pgdump_pgrestore or schemalog
        pgdump_pgrestore:
          clean_target_db: false # whether to clean the target database before restoring
target:
  kafka:
    servers: [\"localhost:9092\"]
    topic:
      name: \"pgstream\" # name of the Kafka topic
      partitions: 1 # number of partitions for the topic
      replication_factor: 1 # replication factor for the topic
      auto_create: true # whether to automatically create the topic if it doesn't exist
modifiers:
  injector:
    enabled: true # whether to inject pgstream metadata into the WAL events

";

const READER_ENV: &str = r#"# Listener config
PGSTREAM_KAFKA_READER_SERVERS="localhost:9092"
PGSTREAM_KAFKA_TOPIC_NAME=pgstream
PGSTREAM_KAFKA_READER_CONSUMER_GROUP_ID=pgstream-postgres-consumer-group

# Processor config
PGSTREAM_POSTGRES_WRITER_TARGET_URL="postgres://postgres:postgres@localhost:7654?sslmode=disable"
PGSTREAM_POSTGRES_WRITER_BATCH_SIZE=25
PGSTREAM_POSTGRES_WRITER_BATCH_TIMEOUT=5s
PGSTREAM_POSTGRES_WRITER_SCHEMALOG_STORE_URL="postgres://postgres:postgres@localhost:5432?sslmode=disable"
"#;

const READER_YAML: &str = r#"source:
  kafka:
    servers: ["localhost:9092"]
    topic:
      name: "mytopic"
    consumer_group:
      id: "mygroup"
      start_offset: "earliest" # options are earliest or latest
target:
  postgres:
    url: "postgres://postgres:postgres@localhost:7654?sslmode=disable"
    batch:
      timeout: 5000 # batch timeout in milliseconds
      size: 25 # number of messages in a batch
    disable_triggers: false # whether to disable triggers on the target database
    on_conflict_action: "nothing" # options are update, nothing or error
"#;

const INDEXER_ENV: &str = r#"# Listener config
PGSTREAM_KAFKA_READER_SERVERS="localhost:9092"
PGSTREAM_KAFKA_TOPIC_NAME=pgstream
PGSTREAM_KAFKA_READER_CONSUMER_GROUP_ID=pgstream-opensearch-consumer-group

# Processor config
PGSTREAM_OPENSEARCH_STORE_URL="http://admin:admin@localhost:9200"
PGSTREAM_SEARCH_INDEXER_BATCH_SIZE=25
PGSTREAM_SEARCH_INDEXER_BATCH_TIMEOUT=5s
"#;

const INDEXER_YAML: &str = r#"source:
  kafka:
    servers: ["localhost:9092"]
    topic:
      name: "pgstream"
    consumer_group:
      id: "pgstream-opensearch-consumer-group"
      start_offset: "earliest" # options are earliest or latest
target:
  search:
    engine: "opensearch" # options are elasticsearch or opensearch
    url: "http://localhost:9200" # URL of the search engine
    batch:
      timeout: 5000 # batch timeout in milliseconds
      size: 25 # number of messages in a batch
"#;

/// A machine as the tutorial has it: addresses are all that differs.
struct Machine {
    source: Database,
    target: Database,
    broker: String,
    node: &'static Node,
}

impl Machine {
    fn new(server: &std::sync::Arc<Server>, broker: &Broker) -> Machine {
        let machine = Machine {
            source: server.database(),
            target: Database::on_target(),
            broker: broker.servers(),
            node: Node::shared(Engine::OpenSearch),
        };
        let url = format!("{}?sslmode=disable", machine.source.url());
        let init = Sidecar::new(["init", "--postgres-url", &url, "--replication-slot", SLOT]).finish();
        assert!(init.stderr.contains("SUCCESS  pgstream initialisation complete"), "{}", init.stderr);
        machine
    }

    fn here(&self, text: &str) -> String {
        text.replace("postgres://postgres:postgres@localhost:5432", &self.source.url())
            .replace("postgres://postgres:postgres@localhost:7654", &self.target.url())
            .replace("localhost:9092", &self.broker)
            .replace("localhost:9200", &format!("localhost:{}", self.node.port))
    }

    fn by_file(&self, name: &str, text: &str) -> Sidecar {
        Sidecar::new(["run", "-c", name, "--log-level", "trace"]).file(name, &self.here(text)).start()
    }

    fn by_flags(&self, flags: &str) -> Sidecar {
        let flags = self.here(flags);
        Sidecar::new(["run", "--log-level", "trace"].into_iter().chain(flags.split(' '))).start()
    }

    /// The tutorial's work, seen at each of these. `writer` is known to stream.
    fn walk(&self, writer: &Sidecar, reader: Option<&Sidecar>, indexer: Option<&Sidecar>) {
        writer.wait_for_line("streaming", LONG);
        self.source.execute("CREATE TABLE test(id SERIAL PRIMARY KEY, name TEXT);");
        self.source.execute("INSERT INTO test(name) VALUES('alice'),('bob'),('charlie');");
        if let Some(reader) = reader {
            let mut session = self.target.session();
            wait_until("the rows at the target", LONG, || {
                assert!(reader.process().exit_status().is_none(), "{}", reader.stderr());
                session.holds("(select count(*) = 3 from test)").then_some(())
            });
            let rows = self.target.rows("select * from test;");
            assert_eq!(rows, [["1", "alice"], ["2", "bob"], ["3", "charlie"]]);
            assert_same(&self.source, &self.target);
        }
        if let Some(indexer) = indexer {
            let table = table_id(&self.source, "test");
            let expected: Vec<_> = (1..)
                .zip(["alice", "bob", "charlie"])
                .map(|(id, name)| {
                    (format!("{table}_{id}"), json!({ "_table": table, format!("{table}-2"): name }))
                })
                .collect();
            wait_until("the documents", LONG, || {
                assert!(indexer.process().exit_status().is_none(), "{}", indexer.stderr());
                let all = self.node.documents("public").into_iter();
                let ours: Vec<_> = all
                    .filter(|(id, _)| id.starts_with(&table))
                    .map(|(id, document)| (id, document.source))
                    .collect();
                (ours == expected).then_some(())
            });
            let log = self.node.documents("pgstream");
            let told = |text: &str| text.contains(&format!("\"pgstream_id\":\"{table}\""));
            assert!(
                log.values().any(|version| version.source["schema"].as_str().is_some_and(told)),
                "{log:?}"
            );
        }
        for sidecar in [Some(writer), reader, indexer].into_iter().flatten() {
            assert_eq!(sidecar.stop().code(), Some(0), "{}", sidecar.stderr());
        }
    }
}

/// All of it in one go: its slot and its topics have one name each.
#[test]
fn by_variables_by_yaml_and_by_flags() {
    let server = Server::start("kafka_tutorial", &Options::default());
    let broker = Broker::start(&BrokerOptions::default());

    let machine = Machine::new(&server, &broker);
    let writer = machine.by_file("pg2kafka_tutorial.yaml", WRITER_YAML);
    let reader = machine.by_file("kafka2pg_tutorial.env", READER_ENV);
    let indexer = machine.by_file("kafka2os_tutorial.env", INDEXER_ENV);
    machine.walk(&writer, Some(&reader), Some(&indexer));
    drop(machine);
    broker.delete("pgstream");

    // With what is there before, from the other topic of the tutorial.
    let machine = Machine::new(&server, &broker);
    machine.source.execute("create table old (id int primary key); insert into old values (1), (2)");
    machine.target.execute("create table old (id int primary key)");
    let name = "PGSTREAM_KAFKA_TOPIC_NAME=pgstream";
    let writer = machine
        .by_file("pg2kafka_tutorial.env", &WRITER_ENV.replace(name, "PGSTREAM_KAFKA_TOPIC_NAME=mytopic"));
    let reader = machine.by_file("kafka2pg_tutorial.yaml", READER_YAML);
    machine.walk(&writer, Some(&reader), None);
    drop(machine);

    let machine = Machine::new(&server, &broker);
    let writer = machine.by_file("pg2kafka_tutorial.yaml", SNAPSHOT_YAML);
    let indexer = machine.by_file("kafka2os_tutorial.yaml", INDEXER_YAML);
    machine.walk(&writer, None, Some(&indexer));
    drop(machine);
    broker.delete("pgstream");

    let machine = Machine::new(&server, &broker);
    let writer = machine.by_flags("--source postgres --source-url postgres://postgres:postgres@localhost:5432?sslmode=disable --target kafka --target-url localhost:9092");
    let reader = machine.by_flags("--source kafka --source-url localhost:9092 --target postgres --target-url postgres://postgres:postgres@localhost:7654?sslmode=disable");
    let indexer = machine.by_flags(
        "--source kafka --source-url localhost:9092 --target opensearch --target-url http://localhost:9200",
    );
    machine.walk(&writer, Some(&reader), Some(&indexer));
}
