#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# embed.sh SOURCE_ROOT BUILD_ROOT: the applications in examples/embed as a person uses them,
# on a machine without a display.
set -euo pipefail
scripts=$1/examples/embed
programs=$2/examples/embed
channel=t$$.embed
work=$(mktemp -d)
# The distribution's Python, which the bindings belong to.
python=/usr/bin/python3
export PYTHONDONTWRITEBYTECODE=1
unset DISPLAY WAYLAND_DISPLAY
declare -A pid lines

clean_up() {
  local status=$?
  [ ${#pid[@]} -eq 0 ] || kill -KILL "${pid[@]}" 2>/dev/null || true
  rm -rf "$work" /dev/shm/possum-[cd]."$channel"*
  exit "$status"
}
trap clean_up EXIT
fail() {
  echo "FAILED: $*" >&2
  tail -n 50 "$work"/*.log >&2
  exit 1
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
press() { echo "$2" >"$work/$1.keys"; }
# heard NAME PATTERN: reads up to a line that matches the extended regular expression
heard() {
  local line wait=$((20 * ${CK_TIMEOUT_MULTIPLIER:-1}))
  local until=$((SECONDS + wait))
  # Also one that says other things all the time.
  while ((SECONDS < until)) && read -r -t "$wait" line <&"${lines[$1]}"; do
    echo "$line" >>"$work/$1.log"
    [[ ! $line =~ $2 ]] || return 0
  done
  fail "$1 did not say \"$2\""
}
# ended NAME STATUS: it ends by itself, so; the rest of what it said is in NAME.log
ended() {
  local status=0
  cat <&"${lines[$1]}" >>"$work/$1.log"
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
no_names() {
  compgen -G "/dev/shm/possum-[cd].$channel*" >/dev/null && fail 'names are left'
  return 0
}

echo '-- an application shares its picture, stops, shares again'
start viewer "$programs/possum-embed-viewer" --channel "$channel"
heard viewer '^Waiting for channel'
start writer "$programs/possum-embed-writer" --channel "$channel"
heard writer "^reader 0 has come, pid ${pid[viewer]}\$"
heard viewer '^showing 640x360 I420$'
press writer c
heard viewer '^showing 1280x720 NV12$'
heard writer "^written [0-9]+, copied [0-9]+, readers 1; pid ${pid[viewer]} took [1-9]"
heard viewer '^[0-9]+ fps   age [0-9.]+ ms'
# Twice at once: the second is too early to share again.
press writer ss
heard writer '^sharing has ended$'
[ "$(grep -c '^sharing as' "$work/writer.log")" -eq 1 ] || fail 'shared again before it ended'
heard viewer '^Waiting for channel'
press writer s
heard writer '^reader 0 has come'
heard viewer '^Attached to channel'

echo '-- a name that another one holds costs the channel, not the application'
start rival "$programs/possum-embed-writer" --channel "$channel" --frames 75
heard rival "^not shared: channel .* is already written by pid ${pid[writer]} "
ended rival 0
[ "$(grep -c '^not shared' "$work/rival.log")" -eq 1 ] || fail 'it is said more than once'

echo '-- killed, succeeded, ended in order'
murder writer
heard viewer '^Waiting for channel'
start successor "$programs/possum-embed-writer" --channel "$channel"
heard viewer "^Attached to channel .* of pid ${pid[successor]} "
heard viewer '^showing 640x360 I420$'
start last "$programs/possum-embed-viewer" --channel "$channel" --until-eos
heard last '^showing'
kill -TERM "${pid[successor]}"
ended successor 0
ended last 0
kill -INT "${pid[viewer]}"
ended viewer 0
no_names

echo '-- a window that hangs holds up nobody who reads'
if command -v Xvfb >/dev/null; then
  start screen Xvfb -displayfd 1 -nolisten tcp
  heard screen '^[0-9]+$'
  start windowed env DISPLAY=":$(tail -n 1 "$work/screen.log")" \
    "$programs/possum-embed-writer" --channel "$channel"
  heard windowed '^written ([0-9]+)'
  # More than fits into a queue that does not leak, which holds a second.
  enough=$((BASH_REMATCH[1] + 60)) tries=20
  kill -STOP "${pid[screen]}"
  until heard windowed '^written ([0-9]+)' && ((BASH_REMATCH[1] >= enough)); do
    ((--tries > 0)) || fail 'the channel waits for the window'
  done
  murder windowed
  kill -CONT "${pid[screen]}"
  kill -TERM "${pid[screen]}"
  ended screen 0
  rm -f /dev/shm/possum-[cd]."$channel"*
else
  echo 'not here: install xvfb'
fi

echo '-- an error in the middle costs the channel, not the application'
namespace=(unshare --mount --map-root-user)
[ "$(id -u)" -ne 0 ] || namespace=(unshare --mount)
if "${namespace[@]}" true 2>/dev/null; then
  # Room for three small pictures, not for three big ones.
  # shellcheck disable=SC2016
  start cramped "${namespace[@]}" bash -c 'mount -t tmpfs -o size=3m tmpfs /dev/shm && exec "$0" "$@"' \
    "$programs/possum-embed-writer" --channel "$channel" --change-every 2
  heard cramped '^written [1-9]'
  heard cramped '^not shared: /dev/shm is too small'
  heard cramped '^sharing has ended$'
  press cramped q
  ended cramped 0
else
  echo 'not here: mount namespaces are not allowed'
fi

echo '-- in Python'
modules='import gi, numpy; gi.require_version("Gst", "1.0"); gi.require_version("GstVideo", "1.0")'
if ! $python -c "$modules" 2>"$work/modules.log"; then
  echo "SKIPPED: $(tail -n 1 "$work/modules.log")"
  exit 77
fi
start reader $python "$scripts/viewer.py" --channel "$channel" --until-eos
heard reader '^Waiting for channel'
start killed $python "$scripts/writer.py" --channel "$channel"
heard killed "^reader 0 has come, pid ${pid[reader]}\$"
heard reader '^showing 640x360$'
murder killed
heard reader '^Waiting for channel'
start next $python "$scripts/writer.py" --channel "$channel" --frames 60 --change-every 1
heard reader '^[0-9]+ fps   age [0-9.]+ ms   brightness [0-9.]+$'
heard reader '^showing 1280x720$'
ended next 0
ended reader 0
said next.log '^written [1-9][0-9]*, copied [1-9][0-9]*, readers 1$'
start refused $python "$scripts/writer.py" --channel 'a b'
ended refused 1
said refused.err.log '^writer.py: "a b" is no channel name'
no_names
