# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# For scripts that run programs as a person does; source it with `channel` set to what the
# names of all their channels begin with. At the end jobs, names and $work are gone.
work=$(mktemp -d)
declare -A pid lines
# What any answer may take, in seconds.
longest=$((40 * ${CK_TIMEOUT_MULTIPLIER:-1}))

clean_up() {
  local status=$? job
  for job in $(jobs -p); do
    pkill -KILL -P "$job" || true # a killed timeout(1) leaves its program behind
    kill -KILL "$job" 2>/dev/null || true
  done
  rm -rf "$work" /dev/shm/possum-[cd]."${channel:?}"*
  exit "$status"
}
trap clean_up EXIT
fail() {
  echo "FAILED: $*" >&2
  tail -n 50 "$work"/*.log >&2
  exit 1
}
no_names() {
  compgen -G "/dev/shm/possum-[cd].$channel*" >/dev/null && fail "names of channel $channel are left"
  return 0
}

# start NAME COMMAND...: in the background as ${pid[NAME]}; its lines by `heard`, its keys by `press`
start() {
  local name=$1
  shift
  mkfifo "$work/$name.out" "$work/$name.keys"
  exec {keys}<>"$work/$name.keys"
  "$@" <"$work/$name.keys" >"$work/$name.out" 2>"$work/$name.err.log" &
  pid[$name]=$!
  exec {lines[$name]}<"$work/$name.out"
}
press() { echo "$2" >"$work/$1.keys"; }
# heard NAME PATTERN: reads up to a line that matches the extended regular expression
heard() {
  local line until=$((SECONDS + longest))
  # Also one that says other things all the time.
  while ((SECONDS < until)) && read -r -t "$longest" line <&"${lines[$1]}"; do
    echo "$line" >>"$work/$1.log"
    [[ ! $line =~ $2 ]] || return 0
  done
  fail "$1 did not say \"$2\""
}
# ended NAME STATUS: it ends by itself, so; all that it said is in NAME.log
ended() {
  local status=0
  timeout "$longest" cat <&"${lines[$1]}" >>"$work/$1.log" || fail "$1 does not end"
  wait "${pid[$1]}" || status=$?
  [ "$status" -eq "$2" ] || fail "$1: exit status $status"
}
murder() {
  kill -KILL "${pid[$1]}"
  wait "${pid[$1]}" 2>/dev/null || true
}
# said FILE PATTERN: in a line of it
said() { grep -qE -- "$2" "$work/$1" || fail "no line \"$2\" in $1"; }
