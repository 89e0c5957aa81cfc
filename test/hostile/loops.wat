;; Promise: a deadline and a kill reach a guest in any loop.
(module
  (import "host" "nothing" (func $nothing))
  (memory 1024 16384)
  (table $t 1000 funcref)
  (global $g (mut i64) (i64.const 0))
  (func (export "empty") (loop (br 0)))
  (func (export "count") (local i64)
    (loop (local.set 0 (i64.add (local.get 0) (i64.const 1))) (br 0)))
  (func (export "global") (loop
    (global.set $g (i64.add (global.get $g) (i64.const 1))) (br 0)))
  (func (export "memory") (local i32)
    (loop
      (i32.store (i32.and (local.get 0) (i32.const 0xfffc)) (local.get 0))
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br 0)))
  (func (export "vector") (local i32 v128)
    (loop
      (local.set 1 (i32x4.add (local.get 1) (v128.load (i32.and (local.get 0) (i32.const 0xfff0)))))
      (v128.store (i32.and (local.get 0) (i32.const 0xfff0)) (local.get 1))
      (local.set 0 (i32.add (local.get 0) (i32.const 16)))
      (br 0)))
  (func (export "float") (local f64)
    (loop (local.set 0 (f64.sqrt (f64.div (f64.const 1) (f64.add (local.get 0) (f64.const 1))))) (br 0)))
  (func (export "divide") (local i64)
    (local.set 0 (i64.const 1))
    (loop
      (local.set 0 (i64.add (i64.const 3)
        (i64.rem_u (i64.const 0x7fffffffffffffff) (local.get 0))))
      (br 0)))
  (func (export "nested") (loop (loop (br_if 0 (i32.load8_u (i32.const 5)))) (br 0)))
  (func (export "table") (param i32)
    (loop $a (loop $b (loop $c (br_table $a $b $c (local.get 0))))))
  (func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "calls") (local i32)
    (loop (local.set 0 (call $leaf (local.get 0))) (br 0)))
  (func $tail (param i32) (return_call $tail (i32.add (local.get 0) (i32.const 1))))
  (func (export "tail") (return_call $tail (i32.const 0)))
  ;; Exponential time in constant depth.
  (func $tree (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (call $tree (i32.sub (local.get 0) (i32.const 1)))
                     (call $tree (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 1))))
  (func (export "tree") (drop (call $tree (i32.const 60))))
  (func (export "grow_nothing") (loop (drop (memory.grow (i32.const 0))) (br 0)))
  (func (export "small_fills") (loop
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 16)) (br 0)))
  ;; Each operation is long by itself.
  (func (export "large_fills") (loop
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x4000000)) (br 0)))
  (func (export "large_copies") (loop
    (memory.copy (i32.const 0) (i32.const 0x1000) (i32.const 0x3fff000)) (br 0)))
  (func (export "one_huge_fill")
    (drop (memory.grow (i32.const 15360)))
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x40000000))
    (memory.fill (i32.const 0) (i32.const 2) (i32.const 0x40000000))
    (memory.fill (i32.const 0) (i32.const 3) (i32.const 0x40000000))
    (memory.fill (i32.const 0) (i32.const 4) (i32.const 0x40000000)))
  (func (export "table_fills") (loop
    (table.fill $t (i32.const 0) (ref.null func) (i32.const 1000)) (br 0)))
  (func (export "host") (loop (call $nothing) (br 0))))
