#!/bin/bash
# Functions in a worker: builds them, and lets the program of worker.c load and call them.
. "$(dirname "$0")/../tap.sh"
guests=$build/test-guests/worker
mkdir -p "$guests"
for name in echo sleeper; do
    flags=(-Wall -Wextra -Werror -Wpedantic -std=gnu17)
    [ $name = echo ] && flags+=(--faaslet) # the other is a program as it is
    module=$(compile "$here/faaslet/$name.c" "${flags[@]}")
    [ -e "$module" ] || { echo "Bail out! $name was not built"; exit 1; }
done
export WARDMOTE_WORKER=$build/wardmote-worker
"$build/test/worker" "$guests"
