#!/bin/sh
# Builds the extension for one PostgreSQL and puts it there: library, control file, install and upgrade scripts.
#
#   extension/install.sh PG_CONFIG [--release | --debug] [--libdir DIR] [--sharedir DIR] [--destdir DIR]
#
# PG_CONFIG names the server to build for. Files go where it says, unless --libdir and --sharedir name the
# directories of another copy of that server (what `pg_config --pkglibdir` and `--sharedir` print there).
# --destdir goes in front of both, for packagers.
set -eu

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

[ $# -ge 1 ] || usage
pg_config=$1
shift
profile=release libdir='' sharedir='' destdir=''
while [ $# -gt 0 ]; do
    case $1 in
        --release | --debug) profile=${1#--} && shift && continue ;;
    esac
    [ $# -ge 2 ] || usage
    case $1 in
        --libdir) libdir=$2 ;;
        --sharedir) sharedir=$2 ;;
        --destdir) destdir=$2 ;;
        *) usage ;;
    esac
    shift 2
done

root=$(cd "$(dirname "$0")/.." && pwd)
major=$("$pg_config" --version | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")
libdir=$destdir${libdir:-$("$pg_config" --pkglibdir)}
extdir=$destdir${sharedir:-$("$pg_config" --sharedir)}/extension
target=${CARGO_TARGET_DIR:-$root/target}/extension
case $target in /*) ;; *) target=$PWD/$target ;; esac

if [ ! -f "$("$pg_config" --includedir-server)/postgres.h" ]; then
    echo "no headers of the server for $pg_config: on Debian, install postgresql-server-dev-$major" >&2
    exit 1
fi
if [ "$profile" = release ]; then optimise=--release; else optimise=; fi
# shellcheck disable=SC2086
(cd "$root" && PGRX_PG_CONFIG_PATH=$pg_config cargo build --locked --package pgstream-ext \
    --no-default-features --features "pg$major" --target-dir "$target" $optimise)

# A file comes into place whole: running sessions keep the library they have loaded.
put() { # mode, place; content on stdin
    cat >"$2.new"
    chmod "$1" "$2.new"
    mv "$2.new" "$2"
}

script() {
    sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$root/sql/order" | while IFS= read -r path; do
        printf -- '-- %s\n' "$path"
        cat "$root/sql/$path"
        echo
    done
}

mkdir -p "$libdir" "$extdir"
put 755 "$libdir/pgstream.so" <"$target/$profile/libpgstream.so"
script >"$target/install.sql"
put 644 "$extdir/pgstream--$version.sql" <"$target/install.sql"
for upgrade in "$root"/sql/upgrade/pgstream--*--*.sql; do
    [ ! -e "$upgrade" ] || put 644 "$extdir/${upgrade##*/}" <"$upgrade"
done
put 644 "$extdir/pgstream.control" <<CONTROL
comment = 'change data capture: rows and schema changes in one ordered stream'
default_version = '$version'
module_pathname = '\$libdir/pgstream'
relocatable = false
schema = 'pgstream'
superuser = true
trusted = true
CONTROL
echo "pgstream $version for PostgreSQL $major: $libdir, $extdir"
