;; Extended constant expressions: i32/i64 add, sub and mul in initialisers and offsets.
(module
  (global $g0 (export "g0") i32 (i32.add (i32.const 20) (i32.const 22)))
  (global (export "g1") i32 (i32.sub (i32.const 1) (i32.const 2)))
  (global (export "g2") i64 (i64.mul (i64.const -3) (i64.const 0x4000000000000001)))
  (global (export "g3") i32 (i32.mul (i32.const 0x10000) (i32.const 0x10001)))
  (global (export "g4") i64
    (i64.add (i64.sub (i64.const 5) (i64.const 7)) (i64.mul (i64.const 6) (i64.const 7)))))
(assert_return (get "g0") (i32.const 42))
(assert_return (get "g1") (i32.const -1))
(assert_return (get "g2") (i64.const 0x3ffffffffffffffd))
(assert_return (get "g3") (i32.const 0x10000))
(assert_return (get "g4") (i64.const 40))

(module $base (global (export "base") i32 (i32.const 1000)))
(register "base" $base)
(module
  (import "base" "base" (global $base i32))
  (import "spectest" "global_i32" (global $i i32))
  (memory 1)
  (table 20 funcref)
  (global (export "sum") i32 (i32.add (global.get $base) (global.get $i)))
  (data (i32.add (global.get $base) (i32.const 24)) "abc")
  (elem (i32.sub (i32.const 15) (i32.const 5)) $f)
  (func $f (result i32) (i32.const 99))
  (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))
(assert_return (get "sum") (i32.const 1666))
(assert_return (invoke "load" (i32.const 1024)) (i32.const 97))
(assert_return (invoke "load" (i32.const 1026)) (i32.const 99))
(assert_return (invoke "call" (i32.const 10)) (i32.const 99))
(assert_trap (invoke "call" (i32.const 9)) "uninitialized element")

(assert_trap
  (module (memory 1) (data (i32.sub (i32.const 0) (i32.const 1)) "a"))
  "out of bounds memory access")
(assert_invalid
  (module (global i32 (i32.add (i32.const 1) (i64.const 2)))) "type mismatch")
(assert_invalid (module (global i32 (i32.add (i32.const 1)))) "type mismatch")
(assert_invalid
  (module (global i32 (i32.div_s (i32.const 1) (i32.const 2)))) "constant expression required")
(assert_invalid
  (module (global i32 (i32.ctz (i32.const 1)))) "constant expression required")
