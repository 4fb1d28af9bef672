#!/usr/bin/env bash
# The completions, asked as the shells ask; a shell that is not installed is left out.
set -euo pipefail
export PATH=$1:$PATH
eval "$(flotilla completion)"

# expect "WORDS THAT MUST BE OFFERED" WORD...: the last word is the one that the cursor is in
expect() {
    local wanted=$1 word
    shift
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    _flotilla || true # nothing to offer
    for word in $wanted; do
        [[ " ${COMPREPLY[*]} " == *" $word "* ]] || {
            echo "FAILED: \"$*\" offers \"${COMPREPLY[*]}\", not $word" >&2
            exit 1
        }
    done
    [ -n "$wanted" ] || [ ${#COMPREPLY[@]} -eq 0 ] || {
        echo "FAILED: \"$*\" offers \"${COMPREPLY[*]}\"" >&2
        exit 1
    }
}

expect 'topic produce consume cluster local bench log demo' flotilla ''
expect 'topic' flotilla top
expect 'create list describe alter delete' flotilla topic ''
expect 'describe delete' flotilla topic de
expect '--partitions --replicas --config --bootstrap --json --help' flotilla topic create --
expect '--partitions' flotilla topic create orders --part
expect '--exit-at-end' flotilla consume orders --ex
expect '--dir --lines --follow' flotilla local logs 1 --
expect '' flotilla nonsense ''
expect '' flotilla topic create ord
[ "$(printf '%s\n' "${COMPREPLY[@]}" | sort | uniq -d)" = '' ]
COMP_WORDS=(flotilla '') COMP_CWORD=1
_flotilla
[ -z "$(printf '%s\n' "${COMPREPLY[@]}" | sort | uniq -d)" ] || { echo "FAILED: offered twice" >&2; exit 1; }
flotilla completion csh 2>/dev/null && { echo "FAILED: csh" >&2; exit 1; }
echo "bash completes"

# offers SHELL "WORDS THAT MUST BE OFFERED" "WORDS THAT MUST NOT" "COMMAND LINE": `ask_SHELL` prints a word and what it does a line
offers() {
    local shell=$1 wanted=$2 unwanted=$3 line=$4 answer word
    answer=$("ask_$shell" "$line") || true
    for word in $wanted; do
        grep -q -- "^$word[:[:space:]]" <<<"$answer" || { echo "FAILED: $shell: \"$line\" offers \"$answer\", not $word" >&2; exit 1; }
    done
    for word in $unwanted; do
        grep -q -- "^$word[:[:space:]]" <<<"$answer" && { echo "FAILED: $shell: \"$line\" offers $word" >&2; exit 1; }
    done
    [ -z "$(cut -d: -f1 <<<"$answer" | cut -f1 | sort | uniq -d)" ] || { echo "FAILED: $shell: \"$line\" offers twice: $answer" >&2; exit 1; }
}

# zsh calls _flotilla with what stands on the line, and that hands lists to _describe.
ask_zsh() {
    zsh -f -c '_describe() { print -l -- ${(P)2} }; _files() { print "FILES:" }; compdef() { : }
        eval "$(flotilla completion zsh)"; words=("${(@s: :)1}"); CURRENT=$#words; _flotilla' zsh "$1"
}
ask_fish() { fish --no-config -c 'flotilla completion fish | source; complete -C "$argv[1]"' "$1"; }

for shell in zsh fish; do
    command -v $shell >/dev/null || { echo "$shell is not installed: left out"; continue; }
    offers $shell 'topic produce consume cluster local bench log demo completion' 'create' 'flotilla '
    offers $shell 'create list describe alter delete' 'topic produce' 'flotilla topic '
    offers $shell '--partitions --replicas --config --bootstrap --json --help' 'create --exit-at-end' 'flotilla topic create --'
    offers $shell '--dir --lines --follow' '--partitions' 'flotilla local logs 1 --'
    offers $shell '' 'create topic' 'flotilla nonsense '
    echo "$shell completes"
done
