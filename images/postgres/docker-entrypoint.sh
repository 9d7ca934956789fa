#!/bin/bash
# Makes a cluster in $PGDATA when it is empty, runs /docker-entrypoint-initdb.d, then becomes postgres.
set -eEuo pipefail
shopt -s nullglob

# The value of NAME, or the content of the file that NAME_FILE names (a secret), or the default.
setting() {
  local name=$1 default=${2-} file_name="$1_FILE"
  if [[ -n ${!name-} && -n ${!file_name-} ]]; then
    echo >&2 "error: both $name and $file_name are set (but are exclusive)"
    exit 1
  fi
  if [[ -n ${!file_name-} ]]; then cat "${!file_name}"; else printf %s "${!name:-$default}"; fi
}

# psql over the local socket, against the server that serves only the initialisation.
docker_process_sql() {
  PGHOST='' PGHOSTADDR='' PGPASSWORD=$POSTGRES_PASSWORD \
    psql -v ON_ERROR_STOP=1 --no-psqlrc --no-password --username "$POSTGRES_USER" \
    ${POSTGRES_DB:+--dbname "$POSTGRES_DB"} "$@"
}

make_cluster() {
  local -a extra=()
  [[ -z ${POSTGRES_INITDB_WALDIR-} ]] || extra+=(--waldir "$POSTGRES_INITDB_WALDIR")
  # POSTGRES_INITDB_ARGS is a command line: quotes in it count.
  eval 'initdb --username="$POSTGRES_USER" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") \
    "${extra[@]}" '"${POSTGRES_INITDB_ARGS-}"
  printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >> "$PGDATA/pg_hba.conf"
}

run_init_files() {
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh)
        if [[ -x $file ]]; then
          echo "$0: running $file"; "$file"
        else
          echo "$0: sourcing $file"
          # shellcheck disable=SC1090  # a file of the user's, known only when it runs
          . "$file"
        fi ;;
      *.sql) echo "$0: running $file"; docker_process_sql -f "$file"; echo ;;
      *.sql.gz) echo "$0: running $file"; gunzip -c "$file" | docker_process_sql; echo ;;
      *.sql.xz) echo "$0: running $file"; xzcat "$file" | docker_process_sql; echo ;;
      *) echo "$0: ignoring $file" ;;
    esac
  done
}

initialise() {
  if [[ -z $POSTGRES_PASSWORD && $POSTGRES_HOST_AUTH_METHOD != trust ]]; then
    echo >&2 'Error: Database is uninitialized and superuser password is not specified.'
    echo >&2 '       You must specify POSTGRES_PASSWORD to a non-empty value for the superuser,'
    echo >&2 '       or POSTGRES_HOST_AUTH_METHOD=trust to allow all connections without one.'
    exit 1
  fi
  make_cluster
  # No TCP: nobody outside may take the half-made database for the finished one.
  pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@" -c listen_addresses= -p "${PGPORT:-5432}")" -w start
  if [[ $POSTGRES_DB != postgres ]]; then
    local name=$POSTGRES_DB
    (POSTGRES_DB=postgres && docker_process_sql --set db="$name") <<< 'CREATE DATABASE :"db";'
  fi
  run_init_files
  pg_ctl -D "$PGDATA" -m fast -w stop
  printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

main() {
  [[ ${1-} != -* ]] || set -- postgres "$@"
  [[ ${1-} == postgres ]] || exec "$@"
  if [[ $(id -u) == 0 ]]; then
    mkdir -p "$PGDATA" && chmod 0700 "$PGDATA"
    find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres {} +
    exec setpriv --reuid=postgres --regid=postgres --init-groups -- "${BASH_SOURCE[0]}" "$@"
  fi
  POSTGRES_USER=$(setting POSTGRES_USER postgres)
  POSTGRES_PASSWORD=$(setting POSTGRES_PASSWORD)
  POSTGRES_DB=$(setting POSTGRES_DB "$POSTGRES_USER")
  POSTGRES_INITDB_ARGS=$(setting POSTGRES_INITDB_ARGS)
  export POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB
  export POSTGRES_HOST_AUTH_METHOD=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [[ -s $PGDATA/PG_VERSION ]]; then
    printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
  else
    initialise "${@:2}"
  fi
  unset POSTGRES_PASSWORD PGPASSWORD
  exec "$@"
}

main "$@"
