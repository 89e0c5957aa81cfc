;; Promise: memory and tables stop growing at the limit their owner set; asking for more is refused to the
;; guest, which goes on.
(module
  (memory 1)
  (table $t 1 funcref)
  ;; Pages reached by growing one at a time until refused; then every byte of the last page is used.
  (func (export "pages") (param i32) (result i64)
    (loop (br_if 0 (i32.ne (memory.grow (local.get 0)) (i32.const -1))))
    (memory.fill (i32.mul (i32.sub (memory.size) (i32.const 1)) (i32.const 65536))
      (i32.const 7) (i32.const 65536))
    (i64.extend_i32_u (memory.size)))
  (func (export "elems") (param i32) (result i64)
    (loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (local.get 0)) (i32.const -1))))
    (i64.extend_i32_u (table.size $t)))
  ;; What was refused must not be there.
  (func (export "past") (param i32) (result i64)
    (drop (memory.grow (i32.const -1)))
    (drop (memory.grow (i32.const 65535)))
    (i64.load8_u (i32.mul (memory.size) (i32.const 65536)))))
