#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# embed.sh SOURCE_ROOT BUILD_ROOT: the applications in examples/embed as a person uses them,
# on a machine without a display. The pairs in C++ and in Python are tried beside each other,
# each on a channel of its own.
set -euo pipefail
scripts=$1/examples/embed
programs=$2/examples/embed
channel=t$$.embed
. "${BASH_SOURCE%/*}/../support/script.sh"
# The distribution's Python, which the bindings belong to.
python=/usr/bin/python3
# shellcheck disable=SC2034  # used by name
{
  writer_cpp=("$programs/possum-embed-writer")
  viewer_cpp=("$programs/possum-embed-viewer")
  writer_python=("$python" "$scripts/writer.py")
  viewer_python=("$python" "$scripts/viewer.py")
}
export PYTHONDONTWRITEBYTECODE=1
unset DISPLAY WAYLAND_DISPLAY
declare -A pid lines
# Processes of this script that try a pair. They end what they have started.
tries=()

clean_up() {
  local status=$?
  [ ${#pid[@]} -eq 0 ] || kill -KILL "${pid[@]}" 2>/dev/null || true
  [ ${#tries[@]} -eq 0 ] || kill -TERM "${tries[@]}" 2>/dev/null || true
  wait
  rm -rf "$work" /dev/shm/possum-[cd]."$channel"*
  exit "$status"
}
# start NAME COMMAND...: in the background; its lines by `heard`, its keys by `press`
start() {
  local name=$1
  shift
  mkfifo "$work/$name.out" "$work/$name.keys"
  exec {keys}<>"$work/$name.keys"
  "$@" <"$work/$name.keys" >"$work/$name.out" 2>"$work/$name.err.log" &
  pid[$name]=$!
  exec {lines[$name]}<"$work/$name.out"
}
# What any answer may take, in seconds.
longest=$((20 * ${CK_TIMEOUT_MULTIPLIER:-1}))
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
# ended NAME STATUS: it ends by itself, so; the rest of what it said is in NAME.log
ended() {
  local status=0
  timeout "$longest" cat <&"${lines[$1]}" >>"$work/$1.log" || fail "$1 does not end"
  wait "${pid[$1]}" || status=$?
  unset "pid[$1]"
  [ "$status" -eq "$2" ] || fail "$1: exit status $status"
}
murder() {
  kill -KILL "${pid[$1]}"
  wait "${pid[$1]}" 2>/dev/null || true
  unset "pid[$1]"
}
said() { grep -qE -- "$2" "$work/$1" || fail "no line \"$2\" in $1"; }

# What the viewer in each language says after the age.
declare -A looked=([cpp]='' [python]='   brightness [0-9.]+$')

# try_pair LANGUAGE OTHER: a process of its own, in which the viewer in the other language
# comes to look, too
try_pair() (
  declare -n writer=writer_$1 viewer=viewer_$1 other_viewer=viewer_$2
  tries=() work=$work/$1 channel=$channel.$1
  mkdir "$work"
  trap clean_up EXIT

  echo "-- $1: an application shares its picture, stops, shares again"
  start viewer "${viewer[@]}" --channel "$channel"
  heard viewer '^Waiting for channel'
  start writer "${writer[@]}" --channel "$channel"
  heard writer "^reader 0 has come, pid ${pid[viewer]}\$"
  heard viewer '^showing 640x360( I420)?$'
  press writer c
  heard viewer '^showing 1280x720( NV12)?$'
  heard writer "^written [0-9]+, copied [0-9]+, readers 1; pid ${pid[viewer]} took [1-9]"
  heard viewer "^[0-9]+ fps   age [0-9.]+ ms${looked[$1]}"
  # Twice at once: the second is too early to share again.
  press writer ss
  heard writer '^sharing has ended$'
  [ "$(grep -c '^sharing as' "$work/writer.log")" -eq 1 ] || fail 'shared again before it ended'
  heard viewer '^Waiting for channel'
  press writer s
  heard writer '^reader 0 has come'
  heard viewer '^Attached to channel'

  echo "-- $1: a name that another one holds costs the channel, not the application"
  start rival "${writer[@]}" --channel "$channel" --frames 75
  heard rival "^not shared: channel .* is already written by pid ${pid[writer]} "
  ended rival 0
  [ "$(grep -c '^not shared' "$work/rival.log")" -eq 1 ] || fail 'it is said more than once'

  echo "-- $1: killed, succeeded, ended in order"
  murder writer
  heard viewer '^Waiting for channel'
  start successor "${writer[@]}" --channel "$channel"
  heard viewer "^Attached to channel .* of pid ${pid[successor]} "
  heard viewer '^showing 640x360( I420)?$'
  start last "${other_viewer[@]}" --channel "$channel" --until-eos
  heard last '^showing'
  kill -TERM "${pid[successor]}"
  ended successor 0
  ended last 0
  kill -INT "${pid[viewer]}"
  ended viewer 0
  start refused "${viewer[@]}" --channel 'a b'
  ended refused 1
  said refused.err.log 'viewer.*: "a b" is no channel name'
  no_names

  echo "-- $1: an error in the middle costs the channel, not the application"
  namespace=(unshare --mount --map-root-user)
  [ "$(id -u)" -ne 0 ] || namespace=(unshare --mount)
  # Whoever may have mounts of its own may not always mount something there.
  if "${namespace[@]}" mount -t tmpfs tmpfs /dev/shm 2>/dev/null; then
    # Room for three small pictures, not for three big ones.
    # shellcheck disable=SC2016
    start cramped "${namespace[@]}" bash -c 'mount -t tmpfs -o size=3m tmpfs /dev/shm && exec "$0" "$@"' \
      "${writer[@]}" --channel "$channel" --change-every 2
    heard cramped '^written [1-9]'
    heard cramped '^not shared: /dev/shm is too small'
    heard cramped '^sharing has ended$'
    press cramped q
    ended cramped 0
  else
    echo 'SKIPPED: no mounts of its own here, so no /dev/shm that is too small'
  fi
)

modules='import gi, numpy; gi.require_version("Gst", "1.0"); gi.require_version("GstVideo", "1.0")'
if $python -c "$modules" 2>"$work/modules.log"; then
  languages=(cpp python)
  try_pair cpp python &
  tries+=($!)
  try_pair python cpp &
  tries+=($!)
else
  languages=(cpp)
  try_pair cpp cpp &
  tries+=($!)
fi

echo '-- a window that hangs holds up nobody who reads'
if command -v Xvfb >/dev/null; then
  declare -A enough
  # Without -noreset it forgets whoever comes just when its last client has gone.
  start screen Xvfb -displayfd 1 -noreset -nolisten tcp
  heard screen '^[0-9]+$'
  for language in "${languages[@]}"; do
    declare -n writer=writer_$language
    start "$language" env DISPLAY=":$(tail -n 1 "$work/screen.log")" \
      "${writer[@]}" --channel "$channel.window.$language"
    heard "$language" '^written ([0-9]+)'
    # More than fits into a queue that does not leak, which holds a second.
    enough[$language]=$((BASH_REMATCH[1] + 60))
  done
  kill -STOP "${pid[screen]}"
  for language in "${languages[@]}"; do
    tries_left=20
    until heard "$language" '^written ([0-9]+)' && ((BASH_REMATCH[1] >= enough[$language])); do
      ((--tries_left > 0)) || fail 'the channel waits for the window'
    done
    murder "$language"
  done
  kill -CONT "${pid[screen]}"
  kill -TERM "${pid[screen]}"
  ended screen 0
else
  echo 'SKIPPED: no window, install xvfb'
fi

for try in "${tries[@]}"; do
  wait "$try"
done
[ ${#languages[@]} -eq 2 ] || {
  echo "SKIPPED: nothing in Python: $(tail -n 1 "$work/modules.log")"
  exit 77
}
