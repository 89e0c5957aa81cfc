#!/bin/bash
# Programs frozen at their first read of input and continued many times in another process: a C program
# (on both tiers), and CPython, which has no function to initialise it with.
. "$(dirname "$0")/../tap.sh"
frozen=$build/test/frozen

prepare() { # MODULE OUT: once; binaryen needs a minute for CPython
    [ -s "$2" ] && [ "$2" -nt "$1" ] && return
    "$wardmote" compile --suspendable --cache "$cache" --tier O0 "$1" -o "$2" || { rm -f "$2"; false; }
}

freeze() { # PREPARED TIER [ARG...]
    module=$1
    tier=$2
    shift 2
    timeout 120 "$frozen" freeze "$module" "$tier" "$work/image" "$@" </dev/null 2>"$work/err"
}

go_on() { # PREPARED TIER: lines on standard input
    timeout 120 "$frozen" continue "$1" "$2" "$work/image" >"$work/out" 2>"$work/err"
}

if ! command -v wasm-opt >/dev/null; then
    skip "frozen: a program continues many times" "no wasm-opt here; install the package binaryen"
    finish
    exit
fi

plain=$(compile "$here/frozen_guest.c")
prepared=$guests/frozen_guest.async.wasm
check "frozen: the C program is prepared" prepare "$plain" "$prepared"
printf 'prime 1 is 2\nprime 10 is 29\nprime 20000 is 224737\n' >"$work/wanted"
for pair in "O0 optimised" "optimised O0"; do
    first=${pair% *} second=${pair#* }
    check "frozen: at its input, $first" freeze "$prepared" "$first"
    check "frozen: ...and continued three times, $second" \
        sh -c 'printf "1\n10\n20000\n" | "$@"' sh timeout 120 "$frozen" continue "$prepared" "$second" "$work/image"
    printf '1\n10\n20000\n' | go_on "$prepared" "$second"
    check "frozen: ...with the right answers" diff "$work/wanted" "$work/out"
done
not_prepared() { ! freeze "$plain" O0 && grep -q 'suspendable' "$work/err"; }
check "frozen: a module that was not prepared says what to do" not_prepared
printf 'x' | dd of="$work/image" bs=1 seek=100 conv=notrunc 2>/dev/null
damaged() { ! echo 1 | go_on "$prepared" O0 && grep -q 'image' "$work/err"; }
check "frozen: a damaged image is refused" damaged

if ! "$root/tools/fetch" python 2>"$work/why"; then
    skip "frozen: CPython" "$(tail -1 "$work/why")"
else
    python=${WARDMOTE_GUESTS:-$root/.cache/guests}/python.wasm
    prepared=$guests/python.async.wasm
    check "frozen: CPython is prepared" prepare "$python" "$prepared"
    script='import json, hashlib
n = json.loads(input())
print(hashlib.sha256(str(n * 2).encode()).hexdigest()[:8], n)'
    check "frozen: CPython at input(), after its imports" freeze "$prepared" O0 -c "$script"
    sed 's/^/# /' "$work/err"
    for i in 1 2 3 4 5 6 7 8 9 10; do
        echo "$i"
    done | go_on "$prepared" O0
    sed 's/^/# /' "$work/err" | tail -2
    for i in 1 2 3 4 5 6 7 8 9 10; do
        echo "$(printf %s $((i * 2)) | sha256sum | head -c 8) $i"
    done >"$work/wanted"
    check "frozen: CPython continued ten times from one image" diff "$work/wanted" "$work/out"
fi
finish
