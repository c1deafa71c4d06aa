#!/usr/bin/env bash
# Makes what tests, demo and benches need: system packages where they are missing, a private copy of the
# installed PostgreSQL 15, Kafka, OpenSearch, Elasticsearch, the sidecar, and the extension inside that copy. Run again, it only does what
# changed.
#
# Nothing of the machine's own database servers is touched: no cluster is created, started, stopped or configured.
#
#   tests/setup.sh [--release]    prints where things are, for tests/support; messages go to stderr
#   tests/setup.sh packages       installs what is missing, and no more
#   tests/setup.sh packages bench the same, and what the bench compares with
#   tests/setup.sh debezium      fetches Debezium Server, 800 MB, for the long tests; prints where it is
#   tests/setup.sh clean          removes the private copy and everything made beside it
#
#   PGSTREAM_TEST_DIR   where to work; give each checkout its own when several run at once  (/tmp/pgstream-<uid>)
#   PG_CONFIG           pg_config of the PostgreSQL 15 to copy            (where Debian's packages put it)
#   PGSTREAM_BIN        a finished sidecar to test instead of building one
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${PGSTREAM_TEST_DIR:-/tmp/pgstream-$(id -u)}
pg_config=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

# --- packages ---------------------------------------------------------------------------------------------------

missing_packages() {
    [ -x "${pg_config%/*}/postgres" ] || echo postgresql-15
    [ -x "$pg_config" ] && [ -f "$("$pg_config" --includedir-server)/postgres.h" ] || echo postgresql-server-dev-15
    find /usr/lib /usr/lib64 -maxdepth 3 -name 'libclang*.so*' 2>/dev/null | grep -q . || echo libclang-dev
    type cc make >/dev/null 2>&1 || echo build-essential
    type pkg-config >/dev/null 2>&1 || echo pkg-config
    type openssl >/dev/null 2>&1 || echo openssl
    [ -f /usr/include/openssl/ssl.h ] || echo libssl-dev
    [ -f /usr/include/zlib.h ] || echo zlib1g-dev
    type unzip >/dev/null 2>&1 || echo unzip
    type mvn >/dev/null 2>&1 || echo maven
    type java >/dev/null 2>&1 || echo default-jre-headless
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# A file that exists only while apt runs; one that is there already is left alone.
guards=()
guard() {
    [ -e "$1" ] && return
    guards+=("$1")
    as_root mkdir -p "${1%/*}"
    printf '%b' "$2" | as_root tee "$1" >/dev/null
    as_root chmod 755 "$1"
}
drop_guards() { [ ${#guards[@]} = 0 ] || as_root rm -f "${guards[@]}"; }

install_packages() {
    local packages=("$@")
    type apt-get >/dev/null 2>&1 || die "please install what these Debian packages hold: ${packages[*]}"
    [ "$(id -u)" = 0 ] || type sudo >/dev/null 2>&1 || die "please install as root: apt-get install ${packages[*]}"
    say "installing ${packages[*]}"
    # Installed for the first time, the server's package would create a cluster and start it, and with it any
    # other cluster that its owner has stopped.
    trap drop_guards EXIT
    guard /etc/postgresql-common/createcluster.d/pgstream-tests.conf 'create_main_cluster = false\n'
    guard /usr/sbin/policy-rc.d '#!/bin/sh\nexit 101\n'
    as_root apt-get update -q >&2
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get install -y -q --no-install-recommends --no-upgrade "${packages[@]}" >&2
}

# --- the private server -----------------------------------------------------------------------------------------

# PostgreSQL finds its libraries and scripts relative to its own binary, so a copy that keeps the layout runs
# anywhere. Copied again when the installed server changed.
copy_server() {
    local installed directory
    installed="$("$pg_config" --version) $(stat -c %Y "$("$pg_config" --bindir)/postgres")"
    [ "$(cat "$work/server/version" 2>/dev/null)" = "$installed" ] && return
    say "copying $installed"
    rm -rf "$work/server"
    for directory in "$("$pg_config" --bindir)" "$("$pg_config" --pkglibdir)" "$("$pg_config" --sharedir)"; do
        mkdir -p "$work/server$directory"
        cp -a "$directory/." "$work/server$directory"
    done
    echo "$installed" >"$work/server/version"
}

make_work_directory() {
    mkdir -p "$work/runs"
    [ -O "$work" ] || die "$work belongs to somebody else; set PGSTREAM_TEST_DIR"
    chmod 755 "$work" "$work/runs" # user postgres must get through when root runs the tests
    exec 9>"$work/lock"
    flock 9
}

# --- Kafka ------------------------------------------------------------------------------------------------------

kafka=3.9.1

dependency() {
    echo "<dependency><groupId>$1</groupId><artifactId>$2</artifactId><version>$3</version></dependency>"
}

# Its jars, with all they need; no more than those is needed to run a broker. They come into place whole. Without
# them everything but the tests of Kafka runs.
fetch_kafka() {
    [ -f "$work/kafka/lib/kafka_2.13-$kafka.jar" ] && return
    say "fetching Kafka $kafka"
    rm -rf "$work/kafka.new"
    mkdir "$work/kafka.new"
    cat >"$work/kafka.new/pom.xml" <<POM
<project>
    <modelVersion>4.0.0</modelVersion>
    <groupId>pgstream</groupId>
    <artifactId>tests</artifactId>
    <version>1</version>
    <dependencies>
        $(dependency org.apache.kafka kafka_2.13 "$kafka")
        $(dependency org.apache.kafka kafka-tools "$kafka")
        $(dependency org.slf4j slf4j-reload4j 1.7.36)
    </dependencies>
</project>
POM
    if mvn -q -B -f "$work/kafka.new/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory=lib >&2; then
        rm -rf "$work/kafka"
        mv "$work/kafka.new" "$work/kafka"
    else
        say "Kafka cannot be fetched; tests that need it will fail"
    fi
}

# --- OpenSearch and Elasticsearch -----------------------------------------------------------------------------------

elasticsearch=8.19.21

# The newer one where there is a Java for it.
opensearch() { [ -n "$(modern_java)" ] && echo 3.6.0 || echo 2.19.6; }

# A distribution of Maven Central's; it comes into place whole.
fetch_search() {
    local name=$1 group=$2 version=$3
    [ "$(cat "$work/$name/version" 2>/dev/null)" = "$version" ] && return
    say "fetching $name $version"
    rm -rf "$work/$name.new"
    if mvn -q -B dependency:copy -Dartifact="$group:$name:$version:zip" -DoutputDirectory="$work/$name.new" >&2 &&
        unzip -q "$work/$name.new/$name-$version.zip" -d "$work/$name.new"; then
        rm -rf "$work/$name" "$work/$name.new/$name-$version.zip"
        mv "$work/$name.new/"* "$work/$name"
        rm -rf "$work/$name.new"
        chmod -R a+rX "$work/$name"
        echo "$version" >"$work/$name/version"
    else
        say "$name cannot be fetched; tests that need it will fail"
    fi
}

# --- Debezium Server, for the bench -------------------------------------------------------------------------------

debezium=3.6.0.Final

# Its classes want a Java of 21 or later; empty where there is none.
modern_java() {
    local machine version
    for machine in /usr/lib/jvm/*; do
        version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$machine/release" 2>/dev/null) || continue
        [ "${version:-0}" -lt 21 ] || { echo "$machine/bin/java"; return; }
    done
}

# 780 MB. It comes into place whole.
fetch_debezium() {
    local name=debezium-server-dist new=$work/debezium.new
    [ -f "$work/debezium/$name-$debezium-runner.jar" ] && return
    [ -n "$(modern_java)" ] || { say "there is no Java of 21 or later; the bench will go without Debezium Server"; return; }
    say "fetching Debezium Server $debezium"
    rm -rf "$new"
    mkdir "$new"
    if mvn -q -B dependency:copy -Dartifact="io.debezium:$name:$debezium:tar.gz" -DoutputDirectory="$new" >&2 &&
        tar -xzf "$new/$name-$debezium.tar.gz" -C "$new" --strip-components=1; then
        rm -rf "$new/$name-$debezium.tar.gz" "$work/debezium"
        mv "$new" "$work/debezium"
    else
        rm -rf "$new"
        say "Debezium Server cannot be fetched; the bench will go without it"
    fi
}

# What the bench compares with; it runs without them too, and says so.
rivals() {
    type pgcopydb >/dev/null 2>&1 || (install_packages pgcopydb) ||
        say "pgcopydb cannot be installed; the bench will go without it"
    make_work_directory
    case ${PGSTREAM_BENCH:-kafka} in kafka) fetch_debezium ;; esac
}

# --- ours -------------------------------------------------------------------------------------------------------

build_sidecar() {
    [ -n "${PGSTREAM_BIN:-}" ] && return
    PGSTREAM_BIN=${CARGO_TARGET_DIR:-$root/target}/$profile/pgstream
    (cd "$root" && cargo build --quiet "${release[@]}") >&2
}

build_extension() {
    local copy=$bin_dir/pg_config
    CARGO_TERM_QUIET=true "$root/extension/install.sh" "$pg_config" "--$profile" \
        --libdir "$("$copy" --pkglibdir)" --sharedir "$("$copy" --sharedir)" >/dev/null
}

profile=debug release=()
case ${1:-} in
    --release) profile=release release=(--release) ;;
    clean) [ ! -e "$work" ] || { make_work_directory; rm -rf "$work"; }; exit ;;
    packages | debezium | '') ;;
    *) die "unknown argument: $1" ;;
esac

type cargo >/dev/null 2>&1 || die "please install Rust: https://rustup.rs"
mapfile -t missing < <(missing_packages)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
[ "${1:-} ${2:-}" != 'packages bench' ] || rivals
[ "${1:-}" != packages ] || exit 0

make_work_directory
if [ "${1:-}" = debezium ]; then
    fetch_debezium
    [ -d "$work/debezium" ] || die "without Debezium Server there is nothing to compare with"
    echo "$work/debezium"
    exit
fi
copy_server
fetch_kafka
fetch_search opensearch org.opensearch.distribution.integ-test-zip "$(opensearch)"
fetch_search elasticsearch org.elasticsearch.distribution.integ-test-zip "$elasticsearch"
bin_dir=$work/server$("$pg_config" --bindir)
build_sidecar
build_extension
echo "bin_dir=$bin_dir"
echo "pgstream=$PGSTREAM_BIN"
echo "kafka=$work/kafka/lib"
echo "opensearch=$work/opensearch"
echo "elasticsearch=$work/elasticsearch"
echo "debezium=$work/debezium"
echo "modern_java=$(modern_java)"
echo "runs=$work/runs"
