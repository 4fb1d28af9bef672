#!/usr/bin/env bash
# Exit status 0: the node's event loop turns (/livez), or with `ready` as argument it has caught up (/readyz).
set -euo pipefail
path=/livez
[ "${1:-}" = ready ] && path=/readyz
exec 3<>"/dev/tcp/127.0.0.1/${FLOTILLA_HTTP_PORT:-9392}"
printf 'GET %s HTTP/1.0\r\n\r\n' $path >&3
IFS=' ' read -r -t 3 _ status _ <&3
[ "$status" = 200 ]
