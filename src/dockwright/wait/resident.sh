# Runs a health check until it succeeds, in the container that is awaited: one `exec` costs about
# 45 ms, one run in this loop what the check itself costs. Needs a POSIX shell, `sleep` with
# fractions and /proc/uptime; ends with 64 where those are missing.
# Arguments: how long to go on, in hundredths of a second; then the check and its arguments.
# Standard output: this shell's pid, then the exit code of each run; the last is 0.
# Standard error: what the check writes.
now() {
  read -r time _ < /proc/uptime || exit 64
  time=${time%.*}${time#*.}
}
check=
trap 'kill -9 "$check"' USR1
echo "$$"
now
began=$time ends=$((time + $1))
shift
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
  pause=$(((time - began) / 50))
  [ "$pause" -gt 25 ] && pause=25
  # As long as the check took: it must not keep a processor more than half busy.
  [ "$pause" -lt $((time - started)) ] && pause=$((time - started))
  [ "$pause" -lt 1 ] && pause=1
  [ "$pause" -gt 99 ] && pause=99
  [ "$pause" -lt 10 ] && pause=0$pause
  sleep "0.$pause" || exit 64
  now
done
