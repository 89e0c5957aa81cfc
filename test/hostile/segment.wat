;; Promise: an active segment outside its memory fails the instantiation with a trap.
(module
  (memory 1)
  (data (i32.const 65533) "abc")
  (data (i32.const 65534) "abc"))
