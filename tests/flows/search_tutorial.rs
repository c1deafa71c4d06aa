//! The tutorial `postgres to opensearch`, literally but for addresses: its commands, files and SQL, and what it shows in between.

use std::sync::Arc;

use pgstream_tests::{wait_until, Database, Engine, Node, Options, Server, Sidecar, LONG};
use serde_json::{json, Value as Json};

use super::table_id;

const SLOT: &str = "pgstream_tutorial_slot";

const ENV: &str = r#"# Listener config
PGSTREAM_POSTGRES_LISTENER_URL="postgres://postgres:postgres@localhost:5432?sslmode=disable"
PGSTREAM_POSTGRES_REPLICATION_SLOT_NAME=pgstream_tutorial_slot

# Processor config
PGSTREAM_INJECTOR_STORE_POSTGRES_URL="postgres://postgres:postgres@localhost:5432?sslmode=disable"
PGSTREAM_OPENSEARCH_STORE_URL="http://admin:admin@localhost:9200"
PGSTREAM_SEARCH_INDEXER_BATCH_SIZE=25
PGSTREAM_SEARCH_INDEXER_BATCH_TIMEOUT=5s
"#;

const YAML: &str = r#"source:
  postgres:
    url: "postgres://postgres:postgres@localhost:5432?sslmode=disable"
    mode: replication
    replication:
      replication_slot: "pgstream_tutorial_slot"
target:
  search:
    engine: "opensearch" # options are elasticsearch or opensearch
    url: "http://localhost:9200" # URL of the search engine
    batch:
      timeout: 5000 # batch timeout in milliseconds
      size: 25 # number of messages in a batch
modifiers:
  injector:
    enabled: true # whether to inject pgstream metadata into the WAL events
"#;

const SNAPSHOT_ENV: &str = r#"# Listener config
PGSTREAM_POSTGRES_LISTENER_URL="postgres://postgres:postgres@localhost:5432?sslmode=disable"
PGSTREAM_POSTGRES_REPLICATION_SLOT_NAME=pgstream_tutorial_slot
PGSTREAM_POSTGRES_SNAPSHOT_STORE_URL="postgres://postgres:postgres@localhost:5432?sslmode=disable"
# Initial snapshot of all tables in the public schema
PGSTREAM_POSTGRES_SNAPSHOT_TABLES="*"

# Processor config
PGSTREAM_INJECTOR_STORE_POSTGRES_URL="postgres://postgres:postgres@localhost:5432?sslmode=disable"
PGSTREAM_OPENSEARCH_STORE_URL="http://admin:admin@localhost:9200"
PGSTREAM_SEARCH_INDEXER_BATCH_SIZE=25
PGSTREAM_SEARCH_INDEXER_BATCH_TIMEOUT=5s
"#;

const SNAPSHOT_YAML: &str = r#"source:
  postgres:
    url: "postgres://postgres:postgres@localhost:5432?sslmode=disable"
    mode: snapshot_and_replication # options are replication, snapshot or snapshot_and_replication
    snapshot: # when mode is snapshot or snapshot_and_replication
      mode: full # options are data_and, schema or data
      tables: ["*"] # tables to snapshot, can be a list of table names or a pattern
      recorder:
        repeatable_snapshots: true # whether to repeat snapshots that have already been taken
        postgres_url: "postgres://postgres:postgres@localhost:5432?sslmode=disable" # URL of the database where the snapshot status is recorded
      schema: # when mode is full or schema
        mode: schemalog # options are pgdump_pgrestore or schemalog
    replication:
      replication_slot: "pgstream_tutorial_slot"
target:
  search:
    engine: "opensearch" # options are elasticsearch or opensearch
    url: "http://localhost:9200" # URL of the search engine
    batch:
      timeout: 5000 # batch timeout in milliseconds
      size: 25 # number of messages in a batch
modifiers:
  injector:
    enabled: true # whether to inject pgstream metadata into the WAL events
"#;

/// A machine as the tutorial has it: addresses are all that differs.
struct Machine {
    source: Database,
    node: Arc<Node>,
}

impl Machine {
    fn new(server: &Arc<Server>, node: &Arc<Node>) -> Machine {
        for index in ["public-1", "pgstream"] {
            node.request("DELETE", index, None);
        }
        Machine { source: server.database(), node: Arc::clone(node) }
    }

    fn init(&self) {
        let url = self.here("postgres://postgres:postgres@localhost:5432?sslmode=disable");
        let init = Sidecar::new(["init", "--postgres-url", &url, "--replication-slot", SLOT]).finish();
        assert!(init.stderr.contains("SUCCESS  pgstream initialisation complete"), "{}", init.stderr);
    }

    fn here(&self, text: &str) -> String {
        text.replace("postgres://postgres:postgres@localhost:5432", &self.source.url())
            .replace("localhost:9200", &format!("localhost:{}", self.node.port))
    }

    fn by_file(&self, name: &str, text: &str) -> Sidecar {
        let status = Sidecar::new(["status", "-c", name]).file(name, &self.here(text)).finish();
        assert!(
            status.stderr.contains("SUCCESS  pgstream status check encountered no issues"),
            "{}",
            status.stderr
        );
        Sidecar::new(["run", "-c", name, "--log-level", "trace"]).file(name, &self.here(text)).start()
    }

    /// What `GET public/_search` shows, by document id.
    fn wait_for(&self, sidecar: &Sidecar, expected: &Json) {
        wait_until("the documents", LONG, || {
            assert!(sidecar.process().exit_status().is_none(), "{}", sidecar.stderr());
            let all = self.node.documents("public").into_iter();
            let all: Json =
                all.map(|(id, document)| (id, document.source)).collect::<serde_json::Map<_, _>>().into();
            (all == *expected).then_some(())
        });
    }

    /// Schemas as the index of versions has them.
    fn versions(&self) -> Vec<Json> {
        let mut all: Vec<Json> =
            self.node.documents("pgstream").into_values().map(|version| version.source).collect();
        all.sort_by_key(|version| version["version"].as_u64());
        all
    }

    fn walk(&self, sidecar: &Sidecar) {
        sidecar.wait_for_line("streaming", LONG);
        self.source.execute("CREATE TABLE test(id SERIAL PRIMARY KEY, name TEXT);");
        self.wait_for_fields(3);
        let id = table_id(&self.source, "test");
        let field = |number: u32| format!("{id}-{number}");
        let index = self.node.get("public");
        let index = &index["public-1"];
        assert_eq!(index["aliases"], json!({ "public": {} }));
        let keyword =
            json!({ "type": "keyword", "ignore_above": 32766, "fields": { "text": { "type": "text" } } });
        let mapping = json!({ "dynamic": "strict", "properties": {
            "_table": { "type": "keyword" }, field(1): { "type": "long" }, field(2): keyword } });
        assert_eq!(index["mappings"], mapping);
        let settings = &index["settings"]["index"];
        assert_eq!(settings["mapping"]["total_fields"]["limit"], "2000");
        let version = wait_until("a version of the schema", LONG, || self.versions().pop());
        let keys: Vec<&String> = version.as_object().expect("an object").keys().collect();
        let mut expected = ["acked", "created_at", "id", "schema", "schema_name", "version"];
        expected.sort_unstable();
        let mut keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, expected);
        let oid = self.source.value("select 'test'::regclass::oid");
        let begins = format!("{{\"tables\":[{{\"oid\":\"{oid}\",\"name\":\"test\",\"columns\":[{{\"name\":\"id\",\"type\":\"integer\",\"default\":\"nextval('public.test_id_seq'::regclass)\",\"nullable\":false,");
        let schema = version["schema"].as_str().expect("a text");
        assert!(schema.starts_with(&begins), "{schema}");

        let row = |values: &[(u32, Json)]| -> Json {
            let values = values.iter().map(|(number, value)| (field(*number), value.clone()));
            std::iter::once(("_table".to_owned(), json!(id)))
                .chain(values)
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let name = |name: &str| row(&[(2, json!(name))]);
        let key = |number: u32| format!("{id}_{number}");
        self.source.execute("INSERT INTO test(name) VALUES('alice'),('bob'),('charlie');");
        self.wait_for(
            sidecar,
            &json!({ key(1): name("alice"), key(2): name("bob"), key(3): name("charlie") }),
        );
        self.source.execute("ALTER TABLE test ADD COLUMN age INT DEFAULT 0;");
        self.wait_for_fields(4);
        self.source.execute("UPDATE test SET name='a' WHERE name='alice';");
        let changed = row(&[(2, json!("a")), (3, json!(0))]);
        self.wait_for(sidecar, &json!({ key(1): changed, key(2): name("bob"), key(3): name("charlie") }));
        self.source.execute("TRUNCATE TABLE test;");
        self.wait_for(sidecar, &json!({}));
        self.source.execute("DROP TABLE test;");
        wait_until("the version without it", LONG, || {
            let last = self.versions().pop()?;
            (last["schema"] == "{\"tables\":null}").then_some(())
        });
        assert_eq!(sidecar.stop().code(), Some(0), "{}", sidecar.stderr());
    }

    fn wait_for_fields(&self, count: usize) {
        wait_until("the fields", LONG, || {
            let (status, index) = self.node.request("GET", "public/_mapping", None);
            let fields =
                index["public-1"]["mappings"]["properties"].as_object().map_or(0, serde_json::Map::len);
            (status == 200 && fields == count).then_some(())
        });
    }
}

/// All of it in one go: its slot and its indices have one name each.
#[test]
fn by_variables_by_yaml_and_by_flags() {
    let server = Server::start("search_tutorial", &Options::default());
    let node = Node::start(Engine::OpenSearch, &[]);
    let destroy = |machine: &Machine| {
        let url = machine.source.url();
        let destroy = Sidecar::new(["destroy", "--postgres-url", &url, "--replication-slot", SLOT]).finish();
        assert_eq!(destroy.code, Some(0), "{}", destroy.stderr);
    };
    for (name, text) in [("pg2os_tutorial.env", ENV), ("pg2os_tutorial.yaml", YAML)] {
        let machine = Machine::new(&server, &node);
        machine.init();
        machine.walk(&machine.by_file(name, text));
        destroy(&machine);
    }
    for (name, text) in [("pg2os_tutorial.env", SNAPSHOT_ENV), ("pg2os_tutorial.yaml", SNAPSHOT_YAML)] {
        let machine = Machine::new(&server, &node);
        machine.init();
        machine
            .source
            .execute("create table old (id int primary key, v text); insert into old values (1, 'old')");
        let sidecar = machine.by_file(name, text);
        let id = table_id(&machine.source, "old");
        machine.wait_for(&sidecar, &json!({ format!("{id}_1"): { "_table": id, format!("{id}-2"): "old" } }));
        assert_eq!(sidecar.stop().code(), Some(0), "{}", sidecar.stderr());
        destroy(&machine);
    }
    let machine = Machine::new(&server, &node);
    machine.init();
    let flags = machine.here("run --source postgres --source-url postgres://postgres:postgres@localhost:5432?sslmode=disable --target opensearch --target-url http://localhost:9200 --log-level trace");
    machine.walk(&Sidecar::new(flags.split(' ')).start());
}
