#!/bin/sh
# Initialises its own PostgreSQL, whose socket admits only its own user, and starts Redis beside it.
set -e
PATH=$PATH:/usr/lib/postgresql/15/bin
books=/ledger/books/cluster
as_bookkeeper() { setpriv --reuid=bookkeeper --regid=bookkeeper --init-groups "$@"; }
if [ ! -s "$books/PG_VERSION" ]; then
  mkdir -p "$books" && chown bookkeeper "$books" && chmod 700 "$books"
  as_bookkeeper initdb -D "$books" --username=bookkeeper --auth-local=peer --auth-host=scram-sha-256 -N >/dev/null
  echo 'host all all all scram-sha-256' >>"$books/pg_hba.conf"
  as_bookkeeper pg_ctl -D "$books" -w -o "-k /run/ledger -c listen_addresses=" start >/dev/null
  as_bookkeeper psql -qX -v ON_ERROR_STOP=1 -h /run/ledger -d postgres -f /ledger/books.sql
  as_bookkeeper pg_ctl -D "$books" -w -m fast stop >/dev/null
fi
LD_LIBRARY_PATH=/opt/cache /opt/cache/redis-server --bind 0.0.0.0 --protected-mode no --save '' \
  --requirepass "${LEDGER_CACHE_WORD:-rooms}" --dir /tmp >/dev/null &
exec setpriv --reuid=bookkeeper --regid=bookkeeper --init-groups \
  postgres -D "$books" -k /run/ledger -c listen_addresses='*'
