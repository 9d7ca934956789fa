# Runs a health check until it succeeds, in the container that is awaited: one `exec` costs about
# 45 ms, one run in this loop what the check itself costs. Needs a POSIX shell, `sleep` with
# fractions and /proc/uptime; ends with 64 where those are missing.
# Arguments, times in hundredths of a second: how long to go on, the shortest and the longest pause,
# the pause in per cent of the time that went by; then the check and its arguments.
# Standard input: its end ends the loop, and the check with everything that it has started.
# Standard output: this shell's pid, then the exit code of each run; the last is 0.
# Standard error: what the check writes.
now() {
  read -r time _ < /proc/uptime || exit 64
  time=${time%.*}${time#*.}
}
# Kills a check and what it has started: the descendants of this shell, and the other processes of
# its session, whose parents have ended. Each is stopped first, so that it cannot start another one unseen.
# The argument: processes with lower pids are older than the check and need no look.
kill_rest() {
  rest= oldest=$1 more=yes
  while [ "$more" ]; do
    more=
    for stat in /proc/[0-9]*/stat; do
      pid=${stat#/proc/} pid=${pid%/stat}
      case " $$ $watcher $rest " in *" $pid "*) continue ;; esac
      [ "$pid" -ge "$oldest" ] && { read -r line < "$stat"; } || continue
      set -- ${line##*) }  # state, parent, process group, session
      case " $$ $check $rest " in *" $2 "*) set -- "$1" "" "" "$$" ;; esac
      [ "$1" != Z ] && [ "$4" = "$$" ] && kill -STOP "$pid" && rest="$rest $pid" more=yes
    done
  done 2>/dev/null
  [ -z "$rest" ] || kill -9 $rest
}
# Debian's PostgreSQL commands are wrappers that spend 40 ms on choosing a cluster and a version.
# Where there is no cluster and one version, the commands themselves do just the same.
if [ -z "$PGCLUSTER" ] && [ "$(echo /etc/postgresql/*)" = '/etc/postgresql/*' ]; then
  commands=$(echo /usr/lib/postgresql/*/bin)
  [ -d "$commands" ] && PATH=$commands:$PATH
fi
check=
exec 3<&0
{ read -r _; kill "$$"; } <&3 >/dev/null 2>&1 &
watcher=$!
trap 'kill_rest 0; wait $check; exit 143' TERM
trap 'kill "$watcher"; wait "$watcher"' EXIT
echo "$$"
now
began=$time ends=$((time + $1)) first=$2 ceiling=$3 share=$4
shift 4
while :; do
  started=$time
  # In the background, so that the signal reaches this shell while a check hangs.
  "$@" >&2 3<&- &
  check=$!
  wait "$check"
  code=$?
  echo "$code"
  [ "$code" -eq 0 ] && exit 0
  kill_rest "$check"
  now
  [ "$time" -ge "$ends" ] && exit 0
  pause=$(((time - began) * share / 100))
  [ "$pause" -gt "$ceiling" ] && pause=$ceiling
  # As long as the check took: it must not keep a processor more than half busy.
  [ "$pause" -lt $((time - started)) ] && pause=$((time - started))
  [ "$pause" -lt "$first" ] && pause=$first
  # What was killed may stay a zombie, where the container's first process reaps none.
  [ "$rest" ] && pause=99
  [ "$pause" -gt 99 ] && pause=99
  [ "$pause" -lt 10 ] && pause=0$pause
  sleep "0.$pause" || exit 64
  now
done
