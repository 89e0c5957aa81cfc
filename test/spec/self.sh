#!/bin/bash
# The runner of the official suite must see what is wrong: a script with one error of each kind, where every
# assertion but one has to fail, and a script that ends its process.
. "$(dirname "$0")/../tap.sh"
if ! command -v wast2json >/dev/null; then
    echo "1..0 # SKIP no wast2json here (package wabt)"
    exit 0
fi
mkdir -p "$work/suite/wrong"
cat >"$work/wrong.wast" <<'W'
(module
  (memory 1)
  (func (export "i32") (result i32) (i32.const 7))
  (func (export "two") (result i32 i64) (i32.const 7) (i64.const 8))
  (func (export "nan") (result f32) (f32.const nan:0x200001))
  (func (export "lane") (result v128) (v128.const i32x4 1 2 3 4))
  (func (export "null") (result externref) (ref.null extern))
  (func (export "trap") (unreachable))
  (func (export "fine")))
(assert_return (invoke "i32") (i32.const 7))
(assert_return (invoke "i32") (i32.const 8))
(assert_return (invoke "two") (i32.const 7) (i64.const 9))
(assert_return (invoke "nan") (f32.const nan:canonical))
(assert_return (invoke "nan") (f32.const nan:arithmetic))
(assert_return (invoke "lane") (v128.const i32x4 1 2 3 5))
(assert_return (invoke "null") (ref.extern 0))
(assert_return (invoke "trap"))
(assert_trap (invoke "fine") "unreachable")
(assert_trap (invoke "trap") "integer overflow")
(assert_exhaustion (invoke "fine") "call stack exhausted")
W
wast2json "$work/wrong.wast" -o "$work/suite/wrong/wrong.json"
check "one true assertion passes, ten false ones fail" test "$(
    "$build/test/spec_run" --modes guard --tiers O0 "$work/suite" | tail -1)" = "1 passed, 10 failed, 0 skipped"
check "and each is named by its line" test "$(
    "$build/test/spec_run" --modes guard --tiers O0 --show 50 "$work/suite" | grep -c '^# guard O0: wrong.wast:[0-9]')" = 10
# A valid module where an error is expected: the file is exchanged after the conversion.
mkdir -p "$work/bad/bad"
printf '%s' '(assert_invalid (module (func (result i32) (i64.const 0))) "type mismatch")
    (assert_unlinkable (module (import "spectest" "absent" (func))) "unknown import")
    (assert_trap (module (func $f (unreachable)) (start $f)) "unreachable")' >"$work/bad.wast"
wast2json "$work/bad.wast" -o "$work/bad/bad/bad.json"
check "three refusals are seen" test "$(
    "$build/test/spec_run" --modes check --tiers O0 "$work/bad" | tail -1)" = "3 passed, 0 failed, 0 skipped"
echo '(module)' >"$work/good.wat"
wat2wasm "$work/good.wat" -o "$work/good.wasm"
for file in "$work"/bad/bad/*.wasm; do
    cp "$work/good.wasm" "$file"
done
check "and missed when the modules are good" test "$(
    "$build/test/spec_run" --modes check --tiers O0 "$work/bad" | tail -1)" = "0 passed, 3 failed, 0 skipped"
check "a module that is not there ends the script, and everything in it counts as failed" test "$(
    rm "$work"/suite/wrong/*.wasm
    "$build/test/spec_run" --modes guard --tiers O0 "$work/suite" 2>/dev/null | tail -1)" = "0 passed, 11 failed, 0 skipped"
check "nothing to run is an error" test "$(
    mkdir "$work/empty"
    "$build/test/spec_run" "$work/empty" >/dev/null 2>&1
    echo $?)" = 2
finish
