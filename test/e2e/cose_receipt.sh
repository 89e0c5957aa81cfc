#!/bin/sh
# cose_receipt.sh: cose_receipt.mjs, where Node.js and its library are or can be fetched.
root=$(cd "$(dirname "$0")/../.." && pwd)
node=$(command -v node || command -v nodejs) || { echo "1..0 # SKIP no node here; install the package nodejs"; exit 0; }
why=$("$root/tools/fetch" cose 2>&1) || { echo "1..0 # SKIP $(echo "$why" | tail -1)"; exit 0; }
cd "${WARDMOTE_GUESTS:-$root/.cache/guests}/cose" || exit 1
exec "$node" "$root/test/e2e/cose_receipt.mjs" "$root/doc/format/vectors/ledger.json"
