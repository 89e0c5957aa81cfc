#!/bin/bash
# `wardmote run` as a user sees it: what a program is given, and how its ends are told.
. "$(dirname "$0")/../tap.sh"
guest=$(compile "$here/guest.c")

# --- arguments, environment, streams, exit status ---
run "$guest" args one "two words" --env -- '*'
check "arguments reach the program as they are" \
    test "$(tr '\n' ' ' <"$work/out")" = "[one] [two words] [--env] [--] [*] "
HIDDEN=1 run "$guest" env
check "no variable of this shell reaches the program" is 0
check "not a single one" test ! -s "$work/out"
SEEN="from outside" run --env A=b=c --env EMPTY= --env SEEN "$guest" env
check "--env gives exactly what it names" \
    test "$(sort "$work/out" | tr '\n' '|')" = "A=b=c|EMPTY=|SEEN=from outside|"
run "$guest" exit 42
check "exit status is the program's own, stderr too" is 42 '^$' '^going$'
run "$guest" exit 0
check "exit(0)" is 0
seq 1 20000 >"$work/in"
"$wardmote" run --cache "$cache" "$guest" cat <"$work/in" | cmp - "$work/in" >"$work/cmp" 2>&1
check "a pipe in and a pipe out carry every byte" test ! -s "$work/cmp"
"$wardmote" run --cache "$cache" "$guest" cat <&- >"$work/out" 2>"$work/err"
status=$?
check "a closed standard input is an error for the program, not for wardmote" is '0|1'
"$wardmote" run --cache "$cache" "$guest" cat <"$work/in" 2>/dev/null | head -1 >"$work/out"
status=${PIPESTATUS[0]}
check "a reader that goes away ends the writer, as it ends a native one" test "$status" -eq 141
timeout 20 "$wardmote" run --cache "$cache" "$guest" yes 2>/dev/null | head -1 >"$work/out"
status=${PIPESTATUS[0]}
check "also one that does not look at errors" is 141 '^y$'
(trap '' PIPE; "$wardmote" run --cache "$cache" "$guest" cat <"$work/in" 2>/dev/null; echo $? >"$work/status") |
    head -1 >"$work/out"
check "with SIGPIPE ignored the program gets the error" test "$(cat "$work/status")" -eq 1
hang_up() { # on a socket that is the program's standard output
    python3 -c '
import socket, subprocess, sys
ours, theirs = socket.socketpair()
program = subprocess.Popen(sys.argv[1:], stdout=theirs, stderr=subprocess.DEVNULL)
theirs.close()
assert ours.recv(2) == b"y\n"
ours.close()
assert program.wait(20) == -13, program.returncode
' "$wardmote" run --cache "$cache" "$guest" yes
}
check "a socket as standard output is no different" hang_up

# --- folders ---
mkdir -p "$work/d/sub" "$work/secret"
echo inside >"$work/d/file"
echo no >"$work/secret/file"
run "$guest" cat "$work/d/file"
check "without --dir there are no files" is 1 'errno'
run --dir "$work/d" "$guest" cat "$work/d/file"
check "--dir HOST: under its own name" is 0 '^inside$'
run --dir "$work/d::/g" "$guest" cat /g/file
check "--dir HOST::GUEST" is 0 '^inside$'
run --dir "$work/d::/g" "$guest" cat "$work/d/file"
check "--dir HOST::GUEST hides the host's name" is 1 'errno'
run --dir "$work/d::/g" --dir "$work/secret::/h" "$guest" cat /h/file
check "two folders" is 0 '^no$'
run --dir "$work/d::/" "$guest" cat file
check "a folder as / serves relative names" is 0 '^inside$'
run --dir "$work/d::/g" "$guest" list /g
check "listing a folder" test "$(grep -v '^\.' "$work/out" | sort | tr '\n' ' ')" = "file sub "
run --dir "$work/d::/g" "$guest" save /g/new text
check "writing below --dir" test "$(cat "$work/d/new")" = text
run --dir "$work/d::/g" "$guest" files /g/sub
check "files, folders, links: create, seek, append, rename, remove" is 0 '^fine$'
check "and nothing is left" test -z "$(ls -A "$work/d/sub")"
run --dir-ro "$work/d::/g" "$guest" cat /g/file
check "--dir-ro reads" is 0 '^inside$'
run --dir-ro "$work/d::/g" "$guest" save /g/new changed
check "--dir-ro does not write" is 1 'errno'
run --dir-ro "$work/d::/g" "$guest" save /g/another changed
check "--dir-ro does not create" is 1 'errno'
check "indeed" test ! -e "$work/d/another" -a "$(cat "$work/d/new")" = text
run --dir "$work/none" "$guest" args
check "a folder that is not there is named" is 125 '^$' "none: .*[Nn]o such file"

# --- limits ---
run --memory 32m "$guest" memory 1000
check "--memory bounds the heap, and the program sees it" is 3 '^(2[0-9]|3[01]) MiB$'
run "$guest" memory 100
check "100 MiB without a limit" is 0 '^100 MiB$'
run --memory 64k "$guest" args
check "a limit below what the module starts with is refused" is 125 '' 'memory'
for mode in guard check det; do
    run --mode $mode "$guest" args # compiled now, so that what is timed is the run
    begun=$(date +%s%N)
    run --mode $mode --timeout 200 "$guest" spin
    took=$((($(date +%s%N) - begun) / 1000000))
    check "$mode: --timeout ends an endless loop with 124" is 124 '' 'deadline'
    check "$mode: and in time ($took ms)" test $took -lt 1000
done
run --timeout 100 "$guest" sleep 30
check "--timeout ends a sleep" is 124 '' 'deadline'
mkfifo "$work/fifo"
exec 8<>"$work/fifo"
timeout 15 "$wardmote" run --cache "$cache" --timeout 100 "$guest" cat <&8 >"$work/out" 2>"$work/err"
status=$?
exec 8>&-
check "--timeout ends a read that nothing comes for" is 124 '' 'deadline'
run --fuel 1000000 "$guest" spin
check "--fuel ends an endless loop with 123" is 123 '' 'fuel'
run --fuel 1000000000 --json "$guest" args
one=$(grep -o '"fuel": *[0-9]*' "$work/err")
run --fuel 1000000000 --json "$guest" args
check "the same work takes the same fuel ($one)" \
    test -n "$one" -a "$(grep -o '"fuel": *[0-9]*' "$work/err")" = "$one"
run --mode det --json --tier O0 "$guest" args
one=$(grep -o '"fuel": *[0-9]*' "$work/err")
run --mode det --json --tier optimised "$guest" args
check "det: the same fuel on both tiers ($one)" \
    test -n "$one" -a "$(grep -o '"fuel": *[0-9]*' "$work/err")" = "$one"

# --- ends ---
run "$guest" abort
check "abort() is a trap: 134, its name, where" is 134 '' 'unreachable'
run "$guest" null
check "a wild pointer is a trap with a backtrace" is 134 '' 'out of bounds memory access'
check "the backtrace names the function" grep -Eq 'at .*(deref|main)' "$work/err"
"$wardmote" build -g "$here/guest.c" -o "$work/debug.wasm" 2>"$work/build.log"
for tier in O0 optimised; do
    run --tier $tier "$work/debug.wasm" null
    check "with DWARF it names file and line ($tier)" is 134 '' 'at deref \(.*guest\.c:[0-9]+\)'
done
run "$guest" recurse
check "endless recursion is a trap" is 134 '' 'call stack exhausted|out of bounds memory access'
run --invoke nothing "$guest"
check "--invoke of what is not there" is 125 '' 'nothing'

# --- clocks, random ---
run "$guest" clock
check "the monotonic clock and sleeping agree" is 0 '^fine'
check "the wall clock is this machine's" \
    test $(($(date +%s) - $(cut -d' ' -f2 "$work/out"))) -lt 10
run "$guest" random
one=$(cat "$work/out")
run "$guest" random
check "random bytes differ from run to run" test "${#one}" -eq 32 -a "$one" != "$(cat "$work/out")"

# --- sockets ---
exchange() { # PORT TEXT
    exec 9<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf '%s\n' "$2" >&9
    IFS= read -r -t 10 line <&9
    exec 9>&- 9<&-
    [ "$line" = "$2" ]
}
port=$((20000 + $$ % 20000))
timeout 30 "$wardmote" run --cache "$cache" --listen 127.0.0.1:$port --listen 127.0.0.1:$((port + 1)) \
    "$guest" listen 2 >"$work/out" 2>"$work/err" &
server=$!
for _ in $(seq 50); do
    exchange $port "first line" 2>/dev/null && break
    sleep 0.1
done
check "--listen: a client is echoed" test "$line" = "first line"
check "--listen: and on the second socket" exchange $((port + 1)) "second line"
wait $server
status=$?
check "--listen: the server ends by itself" is 0 'served 2'
run --listen nonsense "$guest" args
check "--listen with nonsense" is 2 '^$' 'nonsense'

# --- report ---
run --json "$guest" exit 5
check "--json is one JSON object on stderr" python3 -c '
import json, sys
report = json.loads(open(sys.argv[1]).read().strip().splitlines()[-1])
assert report["exit"] == 5 and report["trap"] is None and report["mode"] == "guard", report
assert report["load_ms"] > 0 and report["first_instruction_ms"] >= report["load_ms"], report
assert report["total_ms"] >= report["first_instruction_ms"], report
assert report["memory_peak_bytes"] >= 65536 and report["process_peak_bytes"] > 0, report
' "$work/err"
name=$(printf '%s/\303\251 \342\202\254 \360\237\246\212 "\\ \302\233 \355\240\200 \300\257 \377.wasm' "$work")
cp "$guest" "$name"
run --json "$name" exit 5
check "--json: names in UTF-8 as they are, other bytes replaced" python3 -c '
import json, sys
text = open(sys.argv[1], "rb").read().decode("utf-8").strip().split("\n")[-1]
name = json.loads(text)["module"].rpartition("/")[2]
assert name == "é € 🦊 \"\\ \x9b \ufffd\ufffd\ufffd \ufffd\ufffd \ufffd.wasm", ascii(name)
assert "\x9b" not in text
' "$work/err"
run --json "$guest" abort
check "--json names the trap" grep -Eq '"trap": *"unreachable"' "$work/err"

# --- perf map ---
perf_map() { # the process is the shell's own child, so that its number is known
    "$wardmote" run --cache "$cache" --perf-map "$guest" exit 0 >/dev/null 2>&1 &
    pid=$!
    wait $pid
    grep -Eq '^[0-9a-f]+ [0-9a-f]+ .*main$' /tmp/perf-$pid.map
    good=$?
    rm -f /tmp/perf-$pid.map
    return $good
}
check "--perf-map names functions for perf" perf_map

# --- invoke ---
cat >"$work/math.wat" <<'W'
(module
  (func (export "add") (param i32 i64) (result i64) (i64.add (i64.extend_i32_s (local.get 0)) (local.get 1)))
  (func (export "two") (param f64) (result f64 i32) (f64.mul (local.get 0) (f64.const 2)) (i32.const -7))
  (func (export "bad") (unreachable)))
W
if command -v wat2wasm >/dev/null; then
    wat2wasm "$work/math.wat" -o "$work/math.wasm"
    run --invoke add "$work/math.wasm" -3 4000000000
    check "--invoke prints the result" is 0 '^3999999997$'
    run --invoke two "$work/math.wasm" 1.25
    check "--invoke prints several results" test "$(tr '\n' ' ' <"$work/out")" = "2.5 -7 "
    run --invoke add "$work/math.wasm" 1
    check "--invoke with too few arguments" is 2 '^$' 'add takes 2 arguments, got 1'
    run --invoke add "$work/math.wasm" 1 x
    check "--invoke with what is no number" is 2 '^$' 'x: not an i64'
    run --invoke bad "$work/math.wasm"
    check "--invoke that traps" is 134 '' 'unreachable'
    "$wardmote" run --cache "$cache" --invoke two "$work/math.wasm" 1.25 >/dev/full 2>"$work/err"
    status=$?
    check "--invoke: results that cannot be written are an error" is 125 '' 'standard output: .*space'
    # Names that fill the list of exports in the message to its last byte.
    long=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx # 38
    echo "(module (func (export \"a$long\")) (func (export \"bx$long\")) (func (export \"cx$long\"))
        (func (export \"dx$long\")))" >"$work/names.wat"
    wat2wasm "$work/names.wat" -o "$work/names.wasm"
    run "$work/names.wasm"
    check "no _start: the exports are listed, as many as fit" is 125 '^$' 'exports ax{38}, bx{39}, \.\.\.: call'
    # A start function, _initialize and the export itself, each of 0.4 s.
    cat >"$work/thrice.wat" <<'W'
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $now (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $busy (local $until i64)
    (drop (call $now (i32.const 1) (i64.const 0) (i32.const 0)))
    (local.set $until (i64.add (i64.load (i32.const 0)) (i64.const 400000000)))
    (loop $again
      (drop (call $now (i32.const 1) (i64.const 0) (i32.const 0)))
      (br_if $again (i64.lt_u (i64.load (i32.const 0)) (local.get $until)))))
  (start $busy)
  (func (export "_initialize") (call $busy))
  (func (export "last") (call $busy)))
W
    wat2wasm "$work/thrice.wat" -o "$work/thrice.wasm"
    run --invoke last "$work/thrice.wasm"
    check "a start function, _initialize and an export" is 0
    run --timeout 600 --invoke last "$work/thrice.wasm"
    check "--timeout is for all of them together" is 124 '' 'deadline'
    # --- imports that nobody gives ---
    printf '%s' '(module (import "env" "launch_missiles" (func (param i32)))
        (memory (export "memory") 1) (func (export "_start") (call 0 (i32.const 1))))' >"$work/i.wat"
    wat2wasm "$work/i.wat" -o "$work/i.wasm"
    run "$work/i.wasm"
    check "an unknown import fails at load, by name" is 125 '^$' 'launch_missiles'
    check "and its message says which module and what to do" grep -Eq 'env' "$work/err"
    printf '%s' '(module (import "wasi_snapshot_preview1" "fd_write" (func (param i64)))
        (memory (export "memory") 1) (func (export "_start")))' >"$work/i.wat"
    wat2wasm "$work/i.wat" -o "$work/i.wasm"
    run "$work/i.wasm"
    check "an import of the wrong type fails at load" is 125 '^$' 'fd_write'
else
    skip "--invoke and imports" "no wat2wasm here (package wabt)"
fi

# --- modules that are none ---
printf '\0asm\r\0\1\0' >"$work/component.wasm"
run "$work/component.wasm"
check "a component is refused with the way out" is 125 '^$' 'component.*(wasm32-wasi|core module)'
head -c 100 "$guest" >"$work/cut.wasm"
run "$work/cut.wasm"
check "a cut module: byte offset and reason" is 125 '^$' '(offset|byte|at) *(0x)?[0-9a-f]+'
head -c 3000 /dev/urandom >"$work/noise.wasm"
run "$work/noise.wasm"
check "noise" is 125 '^$' 'noise.wasm'
: >"$work/empty.wasm"
run "$work/empty.wasm"
check "an empty file" is 125 '^$' 'empty.wasm'
run "$work/none.wasm"
check "a file that is not there" is 125 '^$' 'none.wasm.*No such file'
run "$work"
check "a folder for a module" is 125 '^$'
run "$(printf '%s/no\033[31m\302\233\303\251.wasm' "$work")"
check "a terminal does not obey the name of a file" is 125 '^$' '/no\\x1b\[31m\\xc2\\x9bé\.wasm'
for home in '' /dev/null; do
    HOME=$home XDG_CACHE_HOME='' "$wardmote" run "$guest" exit 7 >"$work/out" 2>"$work/err"
    status=$?
    check "HOME='$home': a program runs without a cache" is 7
done
# --- a compiler that fails ---
# Large enough to start at O0; the optimised tier then fails in the background.
python3 -c '
import sys
module = open(sys.argv[1], "rb").read()
open(sys.argv[2], "wb").write(module + b"\0\xe1\xa7\x12\0" + bytes(300000))
' "$guest" "$work/large.wasm"
printf '#!/bin/sh\necho "$3" >>%s\n[ "$3" = 0 ] || exit 1\nexec %s "$@"\n' \
    "$work/compiled" "$WARDMOTE_WASMC" >"$work/failing"
chmod 755 "$work/failing"
failing() {
    WARDMOTE_WASMC=$work/failing timeout 60 "$wardmote" "$@" >"$work/out" 2>"$work/err"
    status=$?
}
failing run --cache "$work/failed" --json "$work/large.wasm" exit 7
check "a large module starts at O0" is 7 '' '"tier": "O0".*"background": true'
for _ in $(seq 100); do
    [ -z "$(ls "$work/failed/objects" | grep failed)" ] || break
    sleep 0.1
done
failing run --cache "$work/failed" --json "$work/large.wasm" exit 7
check "what failed in the background is not tried at each start" is 7 '' '"background": false'
sleep 0.3
check "indeed" test "$(tr '\n' ' ' <"$work/compiled")" = "0 1 "
failing compile --cache "$work/failed" "$work/large.wasm"
check "compile tries it, and tells" is 1 '^$' 'large.wasm: compiler: it ended with status 1'
"$wardmote" compile --cache "$work/failed" "$work/large.wasm" >"$work/out" 2>"$work/err"
status=$?
check "compile with a compiler that works" is 0 'compiled'
run --cache "$work/failed" --json "$work/large.wasm" exit 7
check "then all is forgotten" is 7 '' '"tier": "optimised", "cached": true'

mkdir "$work/small"
if mount -t tmpfs -o size=64k,mode=700 none "$work/small" 2>/dev/null; then
    "$wardmote" run --cache "$work/small/cache" "$guest" exit 7 >"$work/out" 2>"$work/err"
    status=$?
    check "a program runs also when the cache's disk is full" is 7
    "$wardmote" compile --cache "$work/small/cache" "$guest" >"$work/out" 2>"$work/err"
    status=$?
    check "but compile, which is to fill it, fails" is 1 '^$' 'space'
    umount "$work/small"
else
    skip "a full cache" "mounting is not permitted here"
fi
run
check "no module at all" is 2 '' 'usage|no module'
run --nonsense "$guest"
check "an unknown option" is 2 '' 'nonsense'
"$wardmote" run --help >"$work/out" 2>&1
check "--help fits a screen" test "$(wc -l <"$work/out")" -le 24 -a "$(wc -l <"$work/out")" -gt 5
finish
