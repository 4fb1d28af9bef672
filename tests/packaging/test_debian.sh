#!/usr/bin/env bash
# test_debian.sh BUILD_DIR: the Debian packages, installed for real with their scripts into a copy-on-write view of this system:
# the node runs as its own user with the shipped settings, and is removed without a trace. Skipped (77) where that is not
# permitted; the packages are built and looked at in any case.
set -euo pipefail
build=$(realpath "$1") source=$(realpath "$(dirname "$0")/../..")
fail() { echo "FAILED: $*" >&2; exit 1; }

if [ "${INSIDE:-}" != yes ]; then
    command -v cpack >/dev/null || { echo "no cpack"; exit 77; }
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    (cd "$work" && cpack -G DEB --config "$build/CPackConfig.cmake" -B "$work" >"$work/cpack.log" 2>&1) || { cat "$work/cpack.log"; fail cpack; }
    rm -rf "$work/_CPack_Packages"
    has() { dpkg-deb -c "$work"/$1_*.deb | grep -E " \./$2$" >/dev/null || fail "$1 has no $2"; }
    has flotilla-node usr/sbin/flotillad
    has flotilla-node usr/lib/systemd/system/flotilla.service
    has flotilla-node usr/share/man/man8/flotillad.8
    has flotilla-tool usr/bin/flotilla
    has flotilla-tool usr/share/bash-completion/completions/flotilla
    has flotilla-tool usr/share/zsh/vendor-completions/_flotilla
    has flotilla-tool usr/share/fish/vendor_completions.d/flotilla.fish
    has libflotilla0 '.*/libflotilla\.so\.0 -> .*'
    has libflotilla-dev usr/include/flotilla.h
    has libflotilla-dev '.*/flotilla\.pc'
    dpkg-deb -f "$work"/flotilla-node_*.deb Depends | grep libraft >/dev/null || fail "the node's package depends on no libraft"
    [ "$(id -u)" -eq 0 ] || { echo "not root: installing is not tried"; exit 77; }
    unshare --mount --net --pid --fork --mount-proc true 2>/dev/null || { echo "namespaces are not permitted here"; exit 77; }
    INSIDE=yes unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$build" "$work"
    exit
fi

packages=$2 view=$(mktemp -d)
mount -t tmpfs none "$view" || exit 77
mkdir "$view/upper" "$view/work" "$view/root"
mount -t overlay none "$view/root" -o "lowerdir=/,upperdir=$view/upper,workdir=$view/work" 2>/dev/null || { echo "no overlay here"; exit 77; }
root=$view/root
mount --bind /dev "$root/dev"
mount -t proc none "$root/proc"
ip link set lo up
mkdir "$root/packages"
cp "$packages"/*.deb "$root/packages"
inside() { chroot "$root" /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
inside bash -c 'dpkg -i /packages/*.deb' >"$packages/dpkg.log" 2>&1 || { cat "$packages/dpkg.log"; fail "dpkg -i"; }

# As systemd would: the unit's command as the unit's user.
unit=$root/usr/lib/systemd/system/flotilla.service
command=$(sed -n 's/^ExecStart=//p' "$unit") user=$(sed -n 's/^User=//p' "$unit")
inside runuser -u "$user" -- $command >"$packages/node.log" 2>&1 &
until inside flotilla cluster status >/dev/null 2>&1; do
    [ $SECONDS -lt 30 ] || { cat "$packages/node.log"; fail "the installed node does not answer"; }
    sleep 0.05
done
inside flotilla topic create greetings --partitions 1 --replicas 1 >/dev/null
echo hello | inside flotilla produce greetings 2>/dev/null
[ "$(inside flotilla consume greetings --from beginning --exit-at-end --format '%s' 2>/dev/null)" = hello ] || fail "what was sent is not read"
[ "$(inside stat -c %U /var/lib/flotilla/journal)" = "$user" ] || fail "the data is not the node's user's"
pid=$(pgrep -xn flotillad)
kill -TERM "$pid"
wait || true
grep -q 'msg="stopped"\|stopped' "$packages/node.log" || { cat "$packages/node.log"; fail "no planned stop"; }

inside dpkg -r flotilla-node >/dev/null 2>&1 || fail "dpkg -r"
[ -e "$root/var/lib/flotilla/journal" ] || fail "removing the package removed its data"
[ ! -e "$root/usr/sbin/flotillad" ] || fail "the program is still there"
inside dpkg --purge flotilla-node flotilla-tool libflotilla-dev libflotilla0 >/dev/null 2>&1 || fail "dpkg --purge"
left=$(inside find /etc /usr /var/lib /lib -xdev -name '*flotilla*' 2>/dev/null | grep -v /packages || true)
[ -z "$left" ] || fail "left behind: $left"
inside getent passwd flotilla >/dev/null && fail "the user is still there"
echo "installed, ran as $user, removed, purged"
