#!/bin/bash
# Modules loaded at run time: a program and a library in C, 10,000 calls from one image with flat memory,
# and libraries that are wrong in one way each.
. "$(dirname "$0")/../tap.sh"
program=$(compile "$here/dl_main.c" --reactor --dlopen)
side=$(compile "$here/dl_side.c" --shared)
nested=$(compile "$here/dl_nested.c" --shared)

dl() { # CALLS WHAT [LIBRARY...]
    calls=$1 what=$2
    shift 2
    # What a build with sanitizers frees, it keeps for a while.
    ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1 timeout -k 5 120 "$build/test/dl" "$program" "${tier:-O0}" "$calls" "$what" "side=$side" \
        "two=$side" "nested=$nested" "$@" >"$work/out" 2>"$work/err"
    status=$?
}

for tier in O0 optimised; do
    dl 1 0
    check "dl: a library with data, pointers, a constructor, $tier" is 0 "^returned 0$"
done
tier=O0
dl 1 1
check "dl: a function that nobody has traps when called" is 0 "^a host function failed 0$"
dl 1 2
check "dl: ...and is NULL where its address is taken" is 0 "^returned 77$"
dl 2 3
check "dl: a library that opens itself without end" is 0 "^returned|^call stack|^a host function"
dl 2 5
check "dl: a call has a limit of libraries" is 0 "^returned 16$"
dl 2 4
check "dl: the next call finds nothing loaded" is 0 "^returned 0$"
dl 0 0
check "dl: each allocation and each call to the kernel fails once" is 0 "^memory: [1-9][0-9]+ rounds"
sed 's/^/# /' "$work/out"
dl 10000 0
sed 's/^/# /' "$work/err"
check "dl: 10,000 calls" is 0 "^returned 0$"
flat() { awk '/ kB, / {exit !($1 < 4000 && $3 == 0 && $5 == 0)}' "$work/out"; }
check "dl: ...take no memory, descriptor or type" flat
sed 's/^/# /' "$work/out"
check "dl: an image cannot hold a library" is 0 "image: .*(another instance|imports)"

if ! command -v wat2wasm >/dev/null; then
    skip "dl: wrong libraries" "no wat2wasm here; install the package wabt"
    finish
    exit
fi

# A library by hand: the section of 64 bytes of data and one function pointer, then the module.
by_hand() { # NAME WAT [MEM_INFO]
    echo "(module $2)" >"$work/$1.wat"
    wat2wasm --no-check "$work/$1.wat" -o "$work/plain.wasm" || return
    head -c 8 "$work/plain.wasm" >"$work/$1.wasm"
    printf "${3:-\\0\\017\\010dylink.0\\001\\004\\100\\000\\001\\000}" >>"$work/$1.wasm"
    tail -c +9 "$work/plain.wasm" >>"$work/$1.wasm"
}
wrong() { # NUMBER NAME PATTERN WAT [MEM_INFO]
    by_hand "$2" "$4" "${5:-}"
    dl 3 "$1" "$2=$work/$2.wasm"
    check "dl: wrong: $2" is 0 "$3"
}
memory='(import "env" "memory" (memory 1))'
table='(import "env" "__indirect_function_table" (table 1 funcref))'
base='(import "env" "__memory_base" (global $m i32)) (import "env" "__table_base" (global $t i32))'
wrong 10 bad_type "does not fit" '(import "env" "main_adds" (func (param i64)))'
wrong 11 bad_segment "out of bounds memory" "$memory $base (data (i32.const -8) \"0123456789\")"
wrong 12 bad_elem "out of bounds table" "$table $base (func \$f) (elem (global.get \$t) func \$f \$f \$f)"
wrong 13 bad_data "not found" '(import "GOT.mem" "no_such_data" (global (mut i32)))'
wrong 14 bad_import "does not fit" '(import "elsewhere" "f" (func))'
wrong 15 bad_memory "^returned -1" "$memory" '\0\023\010dylink.0\001\010\377\377\377\377\017\000\000\000'
wrong 16 bad_table "^returned -1" "$table" '\0\023\010dylink.0\001\010\000\000\377\377\377\377\017\000'
wrong 17 bad_start "^unreachable 0" '(func $f unreachable) (export "__wasm_call_ctors" (func $f))'
wrong 18 bad_own_memory "does not fit" '(memory 1 1000)'
wrong 19 bad_own_table "does not fit" "$table (table 1 1000000 funcref)"
wrong 20 bad_got "does not fit" '(import "GOT.func" "main_adds" (func)) (import "GOT.mem" "x" (global (mut i32)))'
wrong 21 bad_ctors "^indirect call type mismatch" '(func $f (param i32)) (export "__wasm_call_ctors" (func $f))'
wrong 22 bad_loop "^deadline passed 0" '(func $f (loop $l (br $l))) (start $f)'
finish
