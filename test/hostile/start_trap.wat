;; Promise: as start.wat; the start function overflows its stack.
(module
  (func $start (call $start) (call $start))
  (start $start))
