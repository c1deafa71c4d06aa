#!/usr/bin/env bash
# What can be said about the tree without running it: format, lints, licences, manifest, sizes.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
export PGRX_PG_CONFIG_PATH=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
failed=0

complain() { echo "check: $*" >&2; failed=1; }

# The manifest names each SQL file of an install once, and nothing that is not there.
check_manifest() {
    local listed files
    listed=$(sed 's/#.*//; s/[[:space:]]*$//; /^$/d' sql/order | sort)
    files=$(cd sql && find . -name '*.sql' -not -path './upgrade/*' -not -path ./uninstall.sql -printf '%P\n' | sort)
    diff <(echo "$listed") <(echo "$files") >&2 || complain "sql/order (<) and the files of sql/ (>) differ"
}

check_sizes() {
    local lines file
    while read -r lines file; do
        [ "$file" = total ] || [ "$lines" -le 600 ] || complain "$file has $lines lines; a file has 600 at most"
    done < <(find extension sidecar sql tests docs ./*.md -path sql/upgrade -prune -o \
        -type f \( -name '*.rs' -o -name '*.sql' -o -name '*.sh' -o -name '*.md' \) -exec wc -l {} +)
    [ "$(wc -l <Makefile)" -le 80 ] || complain "the Makefile has more than 80 lines"
}

# Licences, banned crates and sources are judged from Cargo.lock and the crates themselves. Advisories need a
# database from the network: where it cannot be had, that is said and nothing is claimed.
check_dependencies() {
    local deny
    deny=$(command -v cargo-deny || echo "$target/tools/bin/cargo-deny")
    [ -x "$deny" ] || cargo install --quiet --locked --root "$target/tools" --version '^0.20' cargo-deny
    "$deny" --log-level error check licenses bans sources || complain "dependencies"
    if "$deny" fetch db 2>/dev/null; then
        "$deny" --log-level error check --disable-fetch advisories || complain "advisories"
    else
        echo "check: NOT CHECKED: advisories, their database cannot be reached" >&2
    fi
}

tests/setup.sh packages
cargo fmt --check || complain "run make fmt"
check_manifest
check_sizes
cargo clippy --quiet --all-targets -- -D warnings || complain "lints"
cargo clippy --quiet -p pgstream-ext --target-dir "$target/extension" -- -D warnings || complain "the extension's lints"
check_dependencies
[ "$failed" = 0 ] && echo "check: all is well"
exit "$failed"
