#!/bin/bash
# Functions that share state: builds them, and lets the program of state.c run them.
. "$(dirname "$0")/../tap.sh"
guests=$build/test-guests/faaslet
mkdir -p "$guests"
for source in "$here"/faaslet/*.c "$here"/faaslet/*.cc; do
    flags=(--faaslet -Wall -Wextra -Werror)
    [[ $source == *.c ]] && flags+=(-Wpedantic -std=c17)
    module=$(compile "$source" "${flags[@]}")
    [ -e "$module" ] || { echo "Bail out! $source was not built"; exit 1; }
done
"$build/test/state" "$guests"
