#!/bin/bash
# Makes a data directory when it is empty, runs /docker-entrypoint-initdb.d, then becomes mariadbd.
set -eEuo pipefail
shopt -s nullglob

data=/var/lib/mysql
socket=/run/mysqld/mysqld.sock

# The first value among MARIADB_NAME, MARIADB_NAME_FILE, MYSQL_NAME, MYSQL_NAME_FILE.
setting() {
  local prefix name file_name
  for prefix in MARIADB MYSQL; do
    name=${prefix}_$1 file_name=${prefix}_$1_FILE
    if [[ -n ${!name-} ]]; then printf %s "${!name}"; return; fi
    if [[ -n ${!file_name-} ]]; then cat "${!file_name}"; return; fi
  done
}

# A string as an SQL literal.
literal() {
  local text=${1//\\/\\\\} quote="'"
  printf "'%s'" "${text//$quote/$quote$quote}"
}

docker_process_sql() {
  mariadb --protocol=socket --socket="$socket" -uroot ${sql_password:+-p"$sql_password"} \
    --comments "$@"
}

wait_for_server() {
  local pid=$1 _
  for _ in {1..300}; do
    if mariadb-admin --no-defaults --socket="$socket" ping >/dev/null 2>&1; then return; fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  echo >&2 'error: the server for the initialisation did not start'
  exit 1
}

run_init_files() {
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    echo "$0: running $file"
    case $file in
      *.sh)
        # shellcheck disable=SC1090  # a file of the user's, known only when it runs
        if [[ -x $file ]]; then "$file"; else . "$file"; fi ;;
      *.sql) docker_process_sql ${database:+"$database"} < "$file" ;;
      *.sql.gz) gunzip -c "$file" | docker_process_sql ${database:+"$database"} ;;
      *) echo "$0: ignoring $file" ;;
    esac
  done
}

accounts_sql() {
  local root
  root=$(literal "$1")
  # The installation's other accounts of root have no password and would win over '%'.
  echo "DROP USER IF EXISTS 'root'@'127.0.0.1', 'root'@'::1', 'root'@'$HOSTNAME';"
  echo "ALTER USER 'root'@'localhost' IDENTIFIED BY $root;"
  echo "CREATE USER 'root'@'%' IDENTIFIED BY $root;"
  echo "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
  [[ -z $database ]] || echo "CREATE DATABASE IF NOT EXISTS \`$database\`;"
  if [[ -n $user ]]; then
    echo "CREATE USER $(literal "$user")@'%' IDENTIFIED BY $(literal "$password");"
    [[ -z $database ]] || echo "GRANT ALL ON \`$database\`.* TO $(literal "$user")@'%';"
  fi
}

initialise() {
  local root_password
  root_password=$(setting ROOT_PASSWORD)
  if [[ -n $(setting RANDOM_ROOT_PASSWORD) ]]; then
    root_password=$(head -c 24 /dev/urandom | base64)
    echo "GENERATED ROOT PASSWORD: $root_password"
  elif [[ -z $root_password && -z $(setting ALLOW_EMPTY_ROOT_PASSWORD)$(setting ALLOW_EMPTY_PASSWORD) ]]; then
    echo >&2 'error: Database is uninitialized and password option is not specified: set one of'
    echo >&2 '       MARIADB_ROOT_PASSWORD, MARIADB_ALLOW_EMPTY_ROOT_PASSWORD, MARIADB_RANDOM_ROOT_PASSWORD'
    exit 1
  fi
  database=$(setting DATABASE) user=$(setting USER) password=$(setting PASSWORD) sql_password=
  mariadb-install-db --datadir="$data" --auth-root-authentication-method=normal \
    --skip-test-db --cross-bootstrap >/dev/null
  # No TCP: nobody outside may take the half-made database for the finished one.
  "$@" --skip-networking --socket="$socket" &
  local pid=$!
  wait_for_server "$pid"
  accounts_sql "$root_password" | docker_process_sql
  sql_password=$root_password
  run_init_files
  kill "$pid"
  wait "$pid" || true
  printf '\nMariaDB init process done. Ready for start up.\n\n'
}

main() {
  [[ ${1-} != -* ]] || set -- mariadbd "$@"
  case ${1-} in
    mariadbd | mysqld) ;;
    *) exec "$@" ;;
  esac
  if [[ $(id -u) == 0 ]]; then
    find "$data" /run/mysqld \! -user mysql -exec chown mysql: {} +
    exec setpriv --reuid=mysql --regid=mysql --init-groups -- "${BASH_SOURCE[0]}" "$@"
  fi
  [[ -d $data/mysql ]] || initialise "$@"
  exec "$@"
}

main "$@"
