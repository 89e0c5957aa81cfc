;; The neighbour: keeps a counter and a filled memory, and answers right between any two hostile guests.
(module
  (memory 4 4)
  (global $calls (mut i64) (i64.const 0))
  (type $mix_t (func (param i64 i64) (result i64)))
  (table funcref (elem $mix))
  (func $mix (type $mix_t)
    (i64.rotl (i64.mul (i64.xor (local.get 0) (local.get 1)) (i64.const 0x9e3779b97f4a7c15)) (i64.const 29)))
  (func (export "fill") (local i32)
    (loop
      (i64.store (local.get 0) (i64.extend_i32_u (local.get 0)))
      (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 8))) (i32.const 262144)))))
  ;; Folds the whole memory, the counter and the seed into one number.
  (func (export "answer") (param i64) (result i64) (local i32)
    (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
    (local.set 0 (i64.add (local.get 0) (global.get $calls)))
    (loop
      (local.set 0
        (call_indirect (type $mix_t) (local.get 0) (i64.load (local.get 1)) (i32.const 0)))
      (br_if 0 (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 8))) (i32.const 262144))))
    (local.get 0)))
