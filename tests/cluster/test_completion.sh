#!/usr/bin/env bash
# The bash completion, asked as bash asks it.
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
flotilla completion zsh 2>/dev/null && { echo "FAILED: zsh" >&2; exit 1; }
echo "completes"
