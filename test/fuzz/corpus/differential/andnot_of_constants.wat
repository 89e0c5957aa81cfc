;; LLVM 19's instruction selection at -O0 combined this for ever: constants that nothing had folded before.
(module
  (func (export "f") (result v128)
    (v128.andnot
      (v128.const i32x4 0x4f800000 0xdf000000 0x46c8d000 0x4668a400)
      (i32x4.lt_s
        (i16x8.ne
          (v128.const i32x4 0x4f000000 0x4f800000 0xc8000040 0xffbf0711)
          (v128.const i32x4 0xf7ff0000 0x8000690d 0xcc3effc7 0xffffffd7))
        (v128.const i32x4 0xffd52913 0xffffffff 0x3f7ced91 0x3fca5e35)))))
