#!/usr/bin/env bash
# Partitions on a real network: three nodes and two clients, each in a network namespace of its own, on one bridge. Everything
# lives in namespaces (network, mounts, processes) that vanish with this script. Skipped (77) where those are not permitted.
#
# Packets are lost silently and one way at a time: the sender is given a neighbour entry that leads nowhere.
set -euo pipefail

if [ "${INSIDE:-}" != yes ]; then
    for tool in unshare ip nsenter; do command -v $tool >/dev/null || { echo "no $tool"; exit 77; }; done
    flags=(--net --mount --pid --fork --kill-child --mount-proc)
    [ "$(id -u)" -eq 0 ] || flags+=(--map-root-user)
    unshare "${flags[@]}" true 2>/dev/null || { echo "namespaces are not permitted here"; exit 77; }
    directory=$(mktemp -d)
    rc=0
    INSIDE=yes unshare "${flags[@]}" "$0" "$(realpath "$1")" "$directory" || rc=$?
    if [ $rc -eq 0 ] || [ $rc -eq 77 ]; then rm -rf "$directory"; else echo "the nodes' files are in $directory" >&2; fi
    exit $rc
fi

export PATH=$1:$PATH
directory=$2
cd "$directory"
mount -t tmpfs none /run || exit 77
ip link set lo up
ip link add bridge type bridge 2>/dev/null || { echo "no bridges here"; exit 77; }
ip link set bridge up

fail() {
    echo "FAILED: $*" >&2
    tail -n 3 node-*.log produce.err >&2 || true
    exit 1
}

address() { echo "10.77.0.$1"; } # nodes 1 to 3; clients 8 and 9
within() { # HOST COMMAND...
    local host=$1
    shift
    ip netns exec "h$host" "$@"
}

plug() {
    ip netns add "h$1"
    ip link add "v$1" type veth peer name eth0 netns "h$1" || exit 77
    ip link set "v$1" master bridge up
    within "$1" ip link set lo up
    within "$1" ip link set eth0 up
    within "$1" ip address add "$(address "$1")/24" dev eth0
}
for host in 1 2 3 8 9; do plug $host; done

lose() { within "$1" ip neigh replace "$(address "$2")" lladdr 02:00:00:00:00:99 dev eth0 nud permanent; } # FROM TO
heal() { within "$1" ip neigh del "$(address "$2")" dev eth0; }
each_peer() { # ACTION NODE: in both directions
    local peer
    for peer in 1 2 3; do
        [ $peer = "$2" ] || { $1 "$2" $peer && $1 $peer "$2"; }
    done
}

peers=1@$(address 1):9292,2@$(address 2):9292,3@$(address 3):9292
for node in 1 2 3; do
    within $node flotillad --node-id=$node --peers=$peers --data-dir="$directory/node-$node" >node-$node.log 2>&1 &
done

# The client of most questions asks a node that is not the cut-off one.
ask=1
client() { FLOTILLA_BOOTSTRAP=$(address "$ask"):9192 within 9 flotilla "$@"; }
column() { client topic describe orders --timeout 5s 2>/dev/null | awk -v column="$1" '$1 == "0" { print $column }'; }
leader() { column 2; }
high_watermark() { column 7; }

# wait_for SECONDS WHAT COMMAND...
wait_for() {
    local until=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $until ] || fail "not in time: $what"
        sleep 0.05
    done
}
all_up() { client cluster status --timeout 5s --json 2>/dev/null | grep -q '"leaderless":0' && [ "$(client cluster status | grep -c ' up ')" -eq 3 ]; }
in_sync() { [ "$(client topic describe orders 2>/dev/null | awk '$1 ~ /^[0-9]+$/ { print split($5, ids, ",") }' | sort -u)" = 3 ]; }
leads() { local now; now=$(leader) && [[ $now =~ ^[1-3]$ ]]; }
other_leads() { leads && [ "$(leader)" != "$1" ]; }
moves_on() { local now; now=$(high_watermark) && [[ $now =~ ^[0-9]+$ ]] && [ "$now" -gt "$1" ]; }
grows() { # SECONDS WHAT: records of partition 0 are committed
    local since
    wait_for "$1" "$2 (no high watermark)" moves_on -1
    since=$(high_watermark)
    wait_for "$1" "$2" moves_on "$((${since:-0} + 200))"
}
say() { printf '%3d s  %s\n' $SECONDS "$*"; }

wait_for 30 'three nodes' all_up
client topic create orders --partitions 3 --replicas 3 >/dev/null

# Numbered lines until told to stop, and a list of them.
for ((i = 0; ; i++)); do
    [ -e stop ] && break
    seq $((i * 200)) $((i * 200 + 199))
    sleep 0.05
done | tee sent | FLOTILLA_BOOTSTRAP=$(address 1):9192,$(address 2):9192,$(address 3):9192 \
    within 9 flotilla produce orders 2>produce.err &
producer=$!
grows 20 'the load begins'

settle() {
    wait_for 60 'all replicas in sync again' in_sync
    wait_for 30 'partition 0 has a leader' leads
}

say 'a leader is cut off from both others, not from clients'
settle
old=$(leader)
ask=$((old % 3 + 1))
each_peer lose "$old"
wait_for 20 'the majority elects another leader' other_leads "$old"
grows 20 'the majority goes on'
# A client that reaches the minority only gets nothing acknowledged, whatever it tries.
for peer in 1 2 3; do [ $peer = "$old" ] || { lose 8 $peer; lose $peer 8; }; done
for partition in 0 1 2; do
    out=$(FLOTILLA_BOOTSTRAP=$(address "$old"):9192 within 8 flotilla produce orders --partition $partition --json \
        --delivery-timeout 2s <<<"minority" 2>/dev/null) && fail "a minority took a record: $out"
    [ -z "$out" ] || grep -q '"acknowledged":0' <<<"$out" || fail "a minority acknowledged: $out"
done
for peer in 1 2 3; do [ $peer = "$old" ] || { heal 8 $peer; heal $peer 8; }; done
each_peer heal "$old"
settle

say 'what a leader sends is lost, what the others send arrives'
old=$(leader)
ask=$((old % 3 + 1))
for peer in 1 2 3; do [ $peer = "$old" ] || lose "$old" $peer; done
wait_for 20 'another leader after a one-way cut' other_leads "$old"
grows 20 'progress with a leader that nobody hears'
for peer in 1 2 3; do [ $peer = "$old" ] || heal "$old" $peer; done
settle

say 'what the others send to a leader is lost'
old=$(leader)
ask=$((old % 3 + 1))
for peer in 1 2 3; do [ $peer = "$old" ] || lose $peer "$old"; done
grows 30 'progress with a leader that hears nobody'
for peer in 1 2 3; do [ $peer = "$old" ] || heal $peer "$old"; done
settle

say 'a cable is pulled'
old=$(leader)
ask=$((old % 3 + 1))
ip link set "v$old" down
wait_for 20 'another leader without the unplugged one' other_leads "$old"
grows 20 'progress with a node unplugged'
ip link set "v$old" up
settle

touch stop
wait $producer || fail "not everything was acknowledged: $(cat produce.err)"
FLOTILLA_BOOTSTRAP=$(address 1):9192 within 9 flotilla consume orders --from beginning --exit-at-end --format '%p %s\n' >read
# The minority's attempts may have been kept, for their outcome was never told; they are no part of the numbered ones.
grep -v minority read >numbered || true
lost=$(comm -23 <(sort sent) <(cut -d' ' -f2 numbered | sort) | wc -l)
twice=$(cut -d' ' -f2 numbered | sort | uniq -d | wc -l)
disorder=$(awk '$1 in last && $2 <= last[$1] { n++ } { last[$1] = $2 } END { print n + 0 }' numbered)
say "$(wc -l <sent) acknowledged, $lost lost, $twice duplicated, $disorder out of order"
[ "$lost$twice$disorder" = 000 ] || fail 'a promise was broken'
