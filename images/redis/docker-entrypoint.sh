#!/bin/sh
# Becomes redis-server as the user redis, reachable from other containers as the original image is.
set -e

case ${1-} in
  -* | *.conf) set -- redis-server "$@" ;;
esac

if [ "${1-}" = redis-server ]; then
  shift
  config=
  case ${1-} in
    *.conf) config=$1; shift ;;
  esac
  # The original is compiled with protected mode off; a later option of the user's still wins.
  set -- redis-server ${config:+"$config"} --protected-mode no "$@"
  if [ "$(id -u)" = 0 ]; then
    find . \! -user redis -exec chown redis '{}' +
    exec setpriv --reuid=redis --regid=redis --init-groups -- "$@"
  fi
fi

exec "$@"
