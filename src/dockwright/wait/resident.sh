# Runs a health check until it succeeds, in the container that is awaited: one `exec` costs about
# 45 ms, one run in this loop what the check itself costs. Needs a POSIX shell, `sleep` with
# fractions and /proc/uptime; ends with 64 where those are missing.
# Arguments, times in hundredths of a second: how long to go on, the shortest and the longest pause,
# the pause in per cent of the time that went by; then the check and its arguments.
# Standard output: this shell's pid, then the exit code of each run; the last is 0.
# Standard error: what the check writes.
now() {
  read -r time _ < /proc/uptime || exit 64
  time=${time%.*}${time#*.}
}
# Debian's PostgreSQL commands are wrappers that spend 40 ms on choosing a cluster and a version.
# Where there is no cluster and one version, the commands themselves do just the same.
if [ -z "$PGCLUSTER" ] && [ "$(echo /etc/postgresql/*)" = '/etc/postgresql/*' ]; then
  commands=$(echo /usr/lib/postgresql/*/bin)
  [ -d "$commands" ] && PATH=$commands:$PATH
fi
check=
trap 'kill -9 "$check"' USR1
echo "$$"
now
began=$time ends=$((time + $1)) first=$2 ceiling=$3 share=$4
shift 4
while :; do
  started=$time
  # In the background, so that the signal reaches this shell while a check hangs.
  "$@" >&2 &
  check=$!
  wait "$check"
  code=$?
  echo "$code"
  [ "$code" -eq 0 ] && exit 0
  now
  [ "$time" -ge "$ends" ] && exit 0
  pause=$(((time - began) * share / 100))
  [ "$pause" -gt "$ceiling" ] && pause=$ceiling
  # As long as the check took: it must not keep a processor more than half busy.
  [ "$pause" -lt $((time - started)) ] && pause=$((time - started))
  [ "$pause" -lt "$first" ] && pause=$first
  [ "$pause" -gt 99 ] && pause=99
  [ "$pause" -lt 10 ] && pause=0$pause
  sleep "0.$pause" || exit 64
  now
done
