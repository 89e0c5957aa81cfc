#!/bin/bash
# Programs that nobody here wrote, next to their native selves: CPython, SQLite, C++, Rust, SIMD.
. "$(dirname "$0")/../tap.sh"
text=$root/LICENSE

# --- CPython ---
if ! "$root/tools/fetch" python 2>"$work/why"; then
    skip "python: a script's output equals native python3's" "$(tail -1 "$work/why")"
elif ! command -v python3 >/dev/null; then
    skip "python: a script's output equals native python3's" "no python3 here to compare with"
else
    python=${WARDMOTE_GUESTS:-$root/.cache/guests}/python.wasm
    mkdir "$work/native" "$work/guest"
    PYTHONHASHSEED=0 python3 "$here/script.py" "$work/native" >"$work/native.out" 2>&1
    native=$?
    limit=300
    run --tier O0 --dir "$work/guest::/data" --dir-ro "$here::/src" --env PYTHONHASHSEED=0 \
        "$python" /src/script.py /data
    check "python: exit status is native python3's ($native)" is "$native"
    check "python: output equals native python3's" diff "$work/native.out" "$work/out"
    check "python: files written equal native python3's" diff -r "$work/native" "$work/guest"
    run --tier O0 "$python" -c 'import sys; sys.stderr.write("to stderr\n"); raise SystemExit(3)'
    check "python: SystemExit and stderr" is 3 '^$' 'to stderr'
    echo 'print(sum(int(x) for x in __import__("sys").stdin))' >"$work/guest/sum.py"
    seq 1000 | "$wardmote" run --cache "$cache" --tier O0 --dir "$work/guest::/data" "$python" \
        /data/sum.py >"$work/out" 2>"$work/err"
    status=$?
    check "python: reads standard input through a pipe" is 0 '^500500$'
    run --tier O0 --dir "$work/guest::/data" "$python" -c 'open("/etc/passwd")'
    check "python: a file outside --dir is not there" is 1 '' 'FileNotFoundError|PermissionError'
    run --tier O0 --memory 64m "$python" -c 'x = bytearray(100 << 20)'
    check "python: --memory is a MemoryError for it" is 1 '' 'MemoryError'
fi

# --- SQLite ---
sqlite_flags="-DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_WAL -DSQLITE_OMIT_LOAD_EXTENSION
    -D_WASI_EMULATED_MMAN -D_WASI_EMULATED_GETPID -D_WASI_EMULATED_PROCESS_CLOCKS
    -D_WASI_EMULATED_SIGNAL -DSQLITE_OMIT_POPEN -DSQLITE_NOHAVE_SYSTEM -DHAVE_READLINE=0
    -lwasi-emulated-mman -lwasi-emulated-getpid -lwasi-emulated-process-clocks
    -lwasi-emulated-signal -Wl,-z,stack-size=1048576"
if ! "$root/tools/fetch" sqlite 2>"$work/why"; then
    skip "sqlite: the shell built from Debian's source" "$(tail -1 "$work/why")"
elif ! command -v sqlite3 >/dev/null; then
    skip "sqlite: the shell built from Debian's source" "no sqlite3 here to compare with"
else
    source=${WARDMOTE_GUESTS:-$root/.cache/guests}/sqlite
    sqlite=$guests/sqlite.wasm
    if stale "$sqlite" "$source/shell.c"; then
        # shellcheck disable=SC2086
        "$wardmote" build -O2 "$source/shell.c" "$source/sqlite3.c" $sqlite_flags -o "$sqlite" \
            >"$work/build.log" 2>&1 || rm -f "$sqlite"
    fi
    check "sqlite: \`wardmote build\` builds Debian's source" test -e "$sqlite" -o ! -s "$work/build.log"
    [ -e "$sqlite" ] || head -20 "$work/build.log" | sed 's/^/# /'
    mkdir "$work/db"
    sqlite3 "$work/db/native.db" <"$here/speed.sql" >"$work/native.out"
    limit=300
    for tier in O0 optimised; do
        rm -f "$work/db/guest.db"
        timeout -k 5 300 "$wardmote" run --cache "$cache" --tier $tier --dir "$work/db::/db" \
            "$sqlite" /db/guest.db <"$here/speed.sql" >"$work/out" 2>"$work/err"
        status=$?
        check "sqlite ($tier): the speed script ends well" is 0 'ok'
        check "sqlite ($tier): its results equal native sqlite3's" diff "$work/native.out" "$work/out"
        check "sqlite ($tier): native sqlite3 finds its file sound" \
            test "$(sqlite3 "$work/db/guest.db" 'PRAGMA integrity_check')" = ok
        sqlite3 "$work/db/native.db" .dump >"$work/native.sql"
        sqlite3 "$work/db/guest.db" .dump >"$work/guest.sql"
        check "sqlite ($tier): and holding the same rows" cmp "$work/native.sql" "$work/guest.sql"
    done
    # A large module starts at once at O0; the better tier is there for a later start.
    cache=$work/fresh run --json "$sqlite" :memory: 'SELECT 6*7'
    check "sqlite: with nothing in the cache it starts at O0" is 0 '^42$' '"tier": "O0".*"background": true'
    for _ in $(seq 150); do
        cache=$work/fresh run --json "$sqlite" :memory: 'SELECT 6*7'
        grep -q '"tier": "optimised"' "$work/err" && break
        sleep 1
    done
    check "sqlite: and soon runs optimised, from the cache" is 0 '^42$' '"tier": "optimised", "cached": true'
    run --dir-ro "$work/db::/db" "$sqlite" /db/guest.db 'DELETE FROM item'
    check "sqlite: below --dir-ro it cannot change its file" is '1|8' '' 'readonly|read-only'
    check "sqlite: and did not" test "$(sqlite3 "$work/db/guest.db" 'SELECT count(*)>9 FROM item')" = 1
fi

# --- C++ ---
module=$(compile "$here/cxx.cc")
c++ -std=c++17 -O1 "$here/cxx.cc" -o "$work/cxx" 2>"$work/build.log"
"$work/cxx" 9 <"$text" >"$work/native.out" 2>&1
for tier in O0 optimised; do
    "$wardmote" run --cache "$cache" --tier $tier "$module" 9 <"$text" >"$work/out" 2>"$work/err"
    status=$?
    check "c++ ($tier): exit status" is 9
    if [ -s "$work/native.out" ]; then
        check "c++ ($tier): output equals the native program's" diff "$work/native.out" "$work/out"
    else
        skip "c++ ($tier): output equals the native program's" "no native C++ compiler here"
    fi
done

# --- Rust ---
rustc=/usr/bin/rustc
if [ ! -x $rustc ] || [ ! -d /usr/lib/rustlib/wasm32-wasi ]; then
    skip "rust: a program of Debian's rustc" "no rustc with libstd-rust-dev-wasm32 here"
else
    module=$guests/rust.wasm
    [ -e "$module" ] || $rustc --target wasm32-wasi -O "$here/rust.rs" -o "$module" 2>"$work/build.log"
    $rustc -O "$here/rust.rs" -o "$work/rust" 2>>"$work/build.log"
    mkdir -p "$work/rust.d"
    "$work/rust" "$work/rust.d" <"$text" 2>&1 | sed 's/^escaped$/outside: NotFound/' >"$work/native.out"
    for tier in O0 optimised; do
        "$wardmote" run --cache "$cache" --tier $tier --dir "$work/rust.d::/data" "$module" /data \
            <"$text" >"$work/out" 2>"$work/err"
        status=$?
        sed -i 's/^outside: PermissionDenied\|^outside: Uncategorized/outside: NotFound/' "$work/out"
        check "rust ($tier): exit status" is 7
        check "rust ($tier): output equals the native program's" diff "$work/native.out" "$work/out"
    done
    run "$module" panic
    check "rust: a panic is a trap with its message and a backtrace" \
        is 134 '' 'index out of bounds'
fi

# --- SIMD ---
module=$(compile "$here/simd.c" -msimd128)
for mode in guard check det; do
    for tier in O0 optimised; do
        run --mode $mode --tier $tier "$module"
        check "simd ($mode, $tier): vectors equal scalar code" is 0 '^fine [0-9]+$'
    done
done
finish
