#!/bin/bash
# Hostile programs and modules from outside: files, descriptors, pointers, modules that explode in the
# compiler, a cache that somebody changed. `wardmote run` must tell each by its exit status and a message.
. "$(dirname "$0")/../tap.sh"

# --- paths ---
make_folder() { # a fresh folder $1/in with a secret outside
    rm -rf "$1"
    mkdir -p "$1/in/sub" "$1/secret"
    echo SECRET >"$1/secret/file"
    echo SECRET >"$1/file"
    echo fine >"$1/in/inside"
    (cd "$1/in" && ln -s .. link_parent && ln -s ../secret/file link_secret && ln -s ../secret link_secret_dir &&
        ln -s "$1/secret/file" link_abs && ln -s / link_root && ln -s /proc/self/root link_proc_root &&
        ln -s /proc/self/cwd link_proc_cwd && ln -s link_secret link_chain && ln -s link_loop link_loop &&
        ln -s .. sub/link_up)
}
escape=$(compile "$here/escape.c")
for tier in O0 optimised; do
    make_folder "$work/box"
    (cd "$work/box" && find secret file -printf '%p %T@ %i\n' | sort) >"$work/before"
    run --tier $tier --dir "$work/box/in::/box" "$escape"
    check "no path leads out of --dir ($tier)" is 0 '^contained: 0 of'
    (cd "$work/box" && find secret file -printf '%p %T@ %i\n' | sort) >"$work/after"
    check "nothing outside was changed ($tier)" cmp "$work/before" "$work/after"
    check "nothing new lies outside ($tier)" test "$(ls "$work/box" | tr '\n' ' ')" = "file in secret "
done
gcc -O1 -D_GNU_SOURCE "$here/swap.c" -o "$work/swap"
make_folder "$work/race"
mkdir -p "$work/race/in/a/x" "$work/race/secret/x"
echo fine >"$work/race/in/a/file"
ln -s ../secret "$work/race/in/b"
"$work/swap" "$work/race/in" 4 >"$work/swaps" 2>&1 &
swap=$!
for _ in 1 2 3; do
    run --dir "$work/race/in::/box" "$escape" race 40000
    check "a rename race leads to inside or to nothing" is 0 '^contained'
    cat "$work/out" >>"$work/raced"
done
wait $swap
check "and the race took place" test "$(cat "$work/swaps")" -gt 1000 -a -n "$(grep -v ' 0 inside' "$work/raced")"

# --- descriptors and pointers ---
forge=$(compile "$here/forge.c")
make_folder "$work/box"
run --dir "$work/box/in::/box" "$forge"
check "made-up, closed and renumbered descriptors name nothing; rights only shrink" is 0 '^refused all$'
pointers=$(compile "$here/pointers.c")
for mode in guard check; do
    make_folder "$work/box"
    (cd "$work/box" && find secret file -printf '%p %T@ %i\n' | sort) >"$work/before"
    run --mode $mode --timeout 100000 --dir "$work/box/in::/box" "$pointers"
    check "host functions survive any pointers ($mode)" is 77
    (cd "$work/box" && find secret file -printf '%p %T@ %i\n' | sort) >"$work/after"
    check "and nothing outside was changed ($mode)" cmp "$work/before" "$work/after"
done

# --- modules that explode in the compiler ---
gcc -O1 -D_GNU_SOURCE "$here/bomb.c" -o "$work/bomb"
# Runs to its right end, or is refused within the compiler's limits; never anything else, never for long. CPU
# time counts, so that a loaded machine changes nothing.
TIMEFORMAT='%U %S'
bomb() { # KIND N CPU_SECONDS OPTION...
    "$work/bomb" "$1" "$2" >"$work/bomb.wasm"
    kind=$1 n=$2 seconds=$3
    shift 3
    rm -rf "$work/bomb.cache"
    { time {
        timeout -k 5 900 "$wardmote" run --cache "$work/bomb.cache" "$@" "$work/bomb.wasm" \
            >"$work/out" 2>"$work/err"
        status=$?
    }; } 2>"$work/time"
    took=$(awk '{print int($1 + $2 + 0.5)}' "$work/time")
    check "bomb $kind $n ($*): runs right or is refused, in ${took}s" \
        test "$took" -le "$seconds" -a \( $status -eq 0 -o \( $status -eq 125 -a -s "$work/err" \) \)
    [ $status -eq 0 ] || sed 's/^/# /' "$work/err" | head -3
}
for tier in O0 optimised; do
    bomb br_table 100000 60 --tier $tier
    bomb nesting 40000 60 --tier $tier
    bomb locals 45000 60 --tier $tier
    bomb joins 2000 60 --tier $tier
    bomb giant 200000 60 --tier $tier
    bomb depth 50000 60 --tier $tier
    bomb calls 40000 60 --tier $tier
done
bomb giant 3000000 120 --tier O0
bomb joins 3000 65 --tier optimised --mode det
bomb br_table 1000000 60 --tier O0 --mode check
bomb funcs 30000 90 --tier O0
bomb types 900000 60 --tier O0
bomb globals 100000 90 --tier O0
refuse() { # KIND N: beyond a limit of the implementation
    "$work/bomb" "$1" "$2" >"$work/bomb.wasm"
    run "$work/bomb.wasm"
    check "$1 $2 is over the limit and refused" is 125 '^$' "${3:-limit|more than|too many|at most|too deep|too large}"
}
refuse locals 60000
refuse nesting 60000
refuse params 1500
refuse giant 9000000

# --- the cache ---
hello=$(compile "$root/test/e2e/guest.c")
say() { # runs the guest with cache $1
    timeout 60 "$wardmote" run --cache "$1" "$hello" args right >"$work/out" 2>"$work/err"
    status=$?
}
fresh() {
    rm -rf "$work/c"
    say "$work/c"
}
# The largest files are objects; what else is there are stamps and the key.
objects() {
    find "$work/c" -type f -size +16k | sort
}
fresh
check "a fresh cache" is 0 '^\[right\]$'
check "has an object" test -n "$(objects)"
check "mode 0700" test "$(stat -c %a "$work/c")" = 700
tamper() { # NAME, then a command on each object
    name=$1
    shift
    fresh
    for file in $(objects); do
        "$@" "$file"
    done
    say "$work/c"
    check "cache: $name: the result is right all the same" is 0 '^\[right\]$'
    say "$work/c"
    check "cache: $name: and stays so" is 0 '^\[right\]$' '^$'
}
poke() { # overwrite 64 bytes of $2 at $1 percent with ud2 instructions; the file's times are put back
    size=$(stat -c %s "$2")
    cp -p "$2" "$work/stamp"
    printf '\017\013%.0s' $(seq 32) | dd of="$2" bs=1 seek=$((size * $1 / 100)) conv=notrunc status=none
    touch -r "$work/stamp" "$2"
}
for percent in 0 1 5 20 40 60 80 99; do
    tamper "64 bytes changed at $percent%" poke $percent
done
cut() {
    truncate -s "$(($(stat -c %s "$1") * 2 / 3))" "$1"
}
tamper "an object cut short" cut
empty() {
    : >"$1"
}
tamper "an object emptied" empty
replace() {
    rm "$1"
    head -c 70000 /dev/zero >"$1"
}
tamper "an object replaced by zeroes" replace
fifo() {
    rm "$1"
    mkfifo "$1"
}
tamper "an object replaced by a pipe" fifo
link() {
    rm "$1"
    ln -s /etc/passwd "$1"
}
tamper "an object replaced by a link" link
# Two valid objects change places: each is right, but for another module.
fresh
first=$(objects)
timeout 60 "$wardmote" run --cache "$work/c" "$forge" >/dev/null 2>&1
second=$(objects | grep -vxF "$first")
if [ "$(echo "$first" | wc -l)" = 1 ] && [ "$(echo "$second" | wc -l)" = 1 ]; then
    mv "$first" "$work/swapped" && mv "$second" "$first" && mv "$work/swapped" "$second"
    say "$work/c"
    check "cache: two objects swapped: the result is right all the same" is 0 '^\[right\]$'
else
    skip "cache: two objects swapped" "the cache does not hold one file a module"
fi
# Everything but the objects is taken away or mixed up.
fresh
find "$work/c" -type f -size -17k -delete
say "$work/c"
check "cache: stamps and key gone" is 0 '^\[right\]$'
fresh
find "$work/c" -type f -size -17k -exec sh -c 'head -c 64 /dev/urandom >"$1"' _ {} \;
say "$work/c"
# What is no key cannot be told from a key that somebody planted: its owner is asked.
check "cache: key overwritten: refused, and what to do is said" is 125 '^$' 'key.*remove it'
rm -rf "$work/other"
mkdir -m 700 "$work/other"
say "$work/other"
for file in $(cd "$work/other" && find . -type f -size +16k); do
    fresh
    cp -p "$work/other/$file" "$work/c/$file" 2>/dev/null
done
say "$work/c"
check "cache: an object from another cache" is 0 '^\[right\]$'
mkdir -m 777 "$work/open"
chmod 777 "$work/open"
say "$work/open"
check "cache: a folder that others may write to is refused" is 125 '^$' 'open'
if [ "$(id -u)" = 0 ]; then
    mkdir -m 700 "$work/theirs"
    chown 65534 "$work/theirs"
    say "$work/theirs"
    check "cache: a folder that belongs to somebody else is refused" is 125 '^$' 'theirs'
fi
# Somebody who may not write the cache shares it with nobody: both keep working.
fresh
chmod 500 "$work/c"
say "$work/c"
check "cache: a folder that cannot be written to" is '0|125'
chmod 700 "$work/c"
# The module changes; the cache must notice, also when its times and size are put back.
cp "$hello" "$work/m.wasm"
timeout 60 "$wardmote" run --cache "$work/c" "$work/m.wasm" args right >/dev/null 2>&1
cp -p "$work/m.wasm" "$work/old.wasm"
LC_ALL=C sed -i 's/\[%s\]/<%s>/' "$work/m.wasm"
touch -r "$work/old.wasm" "$work/m.wasm"
timeout 60 "$wardmote" run --cache "$work/c" "$work/m.wasm" args right >"$work/out" 2>"$work/err"
status=$?
check "cache: a module changed in place, times put back, is compiled anew" is 0 '^<right>$'

# --- the neighbour, from outside: many hostile processes around a healthy one ---
for _ in 1 2 3 4 5 6; do
    "$wardmote" run --cache "$cache" --timeout 1500 "$(compile "$root/test/e2e/guest.c")" spin \
        >/dev/null 2>&1 &
done
run "$hello" args right
check "a healthy program among six endless ones" is 0 '^\[right\]$'
wait
finish
