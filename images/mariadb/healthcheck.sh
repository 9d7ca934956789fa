#!/bin/bash
# The original image's health command as far as it is used: --connect, --innodb_initialized.
# Answers only for the finished server: the one of the initialisation listens on no TCP port.
set -eu
password=${MARIADB_ROOT_PASSWORD-${MYSQL_ROOT_PASSWORD-}}
query() {
  mariadb --protocol=tcp -h127.0.0.1 -uroot ${password:+-p"$password"} --skip-column-names -e "$1"
}
for option in "$@"; do
  case $option in
    --connect) query 'SELECT 1' >/dev/null ;;
    --innodb_initialized)
      [ "$(query "SELECT 1 FROM information_schema.ENGINES WHERE engine = 'innodb' AND support IN ('YES', 'DEFAULT')")" = 1 ] ;;
    *) echo >&2 "healthcheck.sh: unknown option $option"; exit 1 ;;
  esac
done
