;; Promise: a start function that never returns or traps costs its own instantiation, nothing else.
(module
  (memory 1)
  (func $start (loop (br 0)))
  (start $start))
