# tap.sh: what the shell tests share. `. "$(dirname "$0")/../tap.sh"` with the build folder as $1.
#
# Gives $build, $wardmote, $root, a scratch folder $work that goes away at the end, $cache (a cache of
# compiled code that survives runs: programs are compiled once), and:
#
#   check NAME COMMAND...             one test: passes when COMMAND succeeds
#   skip NAME REASON
#   run [OPTION...] MODULE [ARG...]   wardmote run; leaves $status, $work/out, $work/err
#   is STATUS [OUT [ERR]]             about the last run: exit status (A|B: either), and patterns (grep -E; ^$: nothing at all)
#   compile SOURCE [FLAG...]          wardmote build; prints the path of the module
#   finish                            the plan line; the exit status of the script
set -u
build=$(cd "$1" && pwd) || exit 2
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$(cd "$(dirname "$0")" && pwd)
wardmote=$build/wardmote
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
guests=$build/test-guests
cache=$build/test-cache
export WARDMOTE_WASMC=$build/wardmote-wasmc # for programs that lie elsewhere
mkdir -p "$guests" "$cache"
chmod 700 "$cache"
count=0
failed=0

check() {
    name=$1
    shift
    count=$((count + 1))
    if "$@" >"$work/check.log" 2>&1; then
        echo "ok $count $name"
    else
        failed=$((failed + 1))
        echo "not ok $count $name"
        { echo "command: $*"; cat "$work/check.log"; } | head -c 3000 | sed 's/^/# /'
    fi
}

skip() {
    count=$((count + 1))
    echo "ok $count $1 # SKIP $2"
}

run() {
    timeout -k 5 "${limit:-120}" "$wardmote" run --cache "$cache" "$@" \
        >"$work/out" 2>"$work/err" </dev/null
    status=$?
}

matches() { # PATTERN FILE; ^$ means an empty file
    case $1 in
    "") return 0 ;;
    "^\$") [ ! -s "$2" ] ;;
    *) grep -Eq -- "$1" "$2" ;;
    esac
}

is() {
    good=0
    case "|$1|" in *"|$status|"*) ;; *) good=1 ;; esac
    matches "${2:-}" "$work/out" && matches "${3:-}" "$work/err" || good=1
    [ $good -eq 0 ] && return
    echo "wanted: exit status $1, output /${2:-}/, errors /${3:-}/"
    echo "exit status $status; output:"
    head -c 1000 "$work/out"
    echo "errors:"
    head -c 1000 "$work/err"
    return 1
}

# Is the module missing, or older than its source or than what `wardmote build` puts into it?
stale() { # MODULE SOURCE
    [ ! -e "$1" ] || [ "$2" -nt "$1" ] || [ "$root/src/cli/build.c" -nt "$1" ] ||
        [ -n "$(find "$root/sdk" -type f -newer "$1" | head -1)" ]
}

compile() {
    source=$1
    module=$guests/$(basename "$source" | sed 's/\.[^.]*$//').wasm
    shift
    if stale "$module" "$source"; then
        "$wardmote" build "$source" "$@" -o "$module" >"$work/build.log" 2>&1 || {
            sed 's/^/# /' "$work/build.log" >&2
            rm -f "$module"
        }
    fi
    echo "$module"
}

finish() {
    echo "1..$count"
    [ $failed -eq 0 ] && [ $count -gt 0 ]
}
