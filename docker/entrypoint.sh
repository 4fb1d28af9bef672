#!/usr/bin/env bash
# Starts a node in a container. Settings come as variables (FLOTILLA_PEERS=..., see docs/configuration.md) or flags. Two things
# a container has to find out by itself:
#   FLOTILLA_NODE_ID=ordinal       from a host name that ends in a number: flotilla-0 is node 1 (a StatefulSet's pods)
#   FLOTILLA_ADVERTISE_HOST=fqdn   this host's full name
set -euo pipefail
if [ "${FLOTILLA_NODE_ID:-}" = ordinal ]; then
    ordinal=${HOSTNAME##*-}
    [[ $ordinal =~ ^[0-9]+$ ]] || { echo "flotilla-entrypoint: no number at the end of host name $HOSTNAME" >&2; exit 2; }
    export FLOTILLA_NODE_ID=$((ordinal + 1))
fi
if [ "${FLOTILLA_ADVERTISE_HOST:-}" = fqdn ]; then
    FLOTILLA_ADVERTISE_HOST=$(hostname -f)
    export FLOTILLA_ADVERTISE_HOST
fi
case "${1:-}" in
'' | -*) exec flotillad "$@" ;;
*) exec "$@" ;; # docker run IMAGE flotilla topic list ...
esac
