#!/bin/sh
# The library OS builds without a C library, for this machine and for WebAssembly, and asks for nothing
# but the four memory functions that every freestanding compiler may call, strlen, and the handler
# of failed assertions.
#   freestanding_test.sh SRC-FOLDER CC FILE.c...
set -u
src=$1 cc=$2
shift 2
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
allowed='^(memcpy|memmove|memset|memcmp|strlen|wm_assert_fail)$'
linker='^(__indirect_function_table|__stack_pointer|__linear_memory)$' # what wasm objects import
echo 1..2

check() { # NUMBER NAME NM COMPILER...
    number=$1 name=$2 nm=$3
    shift 3
    compiler=$*
    wrong=
    for file in $files; do
        $compiler -std=gnu17 -O2 -Wall -Wextra -Wconversion -Wno-sign-conversion -Werror \
            -ffreestanding -I"$src" -c "$file" -o "$out/$number-$(basename "$file").o" || wrong=yes
    done
    # Undefined somewhere and defined nowhere.
    $nm --defined-only "$out/$number"-*.o | awk '{print $NF}' | sort -u >"$out/defined"
    $nm -u "$out/$number"-*.o | awk 'NF > 1 {print $NF}' | sort -u |
        comm -23 - "$out/defined" | grep -Ev "$allowed|$linker" >"$out/asked" && wrong=yes
    sed 's/^/# asks for: /' "$out/asked"
    [ -z "$wrong" ] && echo "ok $number - $name" || echo "not ok $number - $name"
}

files=$*
check 1 freestanding nm $cc -nostdlib -fno-stack-protector
if command -v clang-19 >/dev/null && command -v llvm-nm-19 >/dev/null; then
    check 2 wasm32 llvm-nm-19 clang-19 --target=wasm32 -nostdlib
else
    echo "ok 2 - wasm32 # SKIP clang-19 is not installed (apt-get install clang-19)"
fi
