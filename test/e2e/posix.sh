#!/bin/bash
# One program, built for this machine and as a guest: files behave the same for both.
. "$(dirname "$0")/../tap.sh"
guest=$(compile "$here/posix.c")
cc=$(command -v cc || command -v gcc || command -v clang-19)

compare() { # ARG...
    rm -rf "$work/native" "$work/guest"
    mkdir "$work/native" "$work/guest"
    (cd "$work/native" && "$work/posix" "$@") >"$work/expected"
    run --dir "$work/guest::." "$guest" "$@"
    diff "$work/expected" "$work/out" | head -20
    [ "$status" -eq 0 ] && cmp -s "$work/expected" "$work/out"
}

if [ -z "$cc" ]; then
    skip "files behave as on this machine" "no native C compiler here"
else
    "$cc" -O1 -D_GNU_SOURCE "$here/posix.c" -o "$work/posix" || exit 1
    check "files behave as on this machine" compare
    for seed in 1 2 3 4 5 6 7 8; do
        check "3000 calls at random, seed $seed" compare $seed
    done
fi
finish
