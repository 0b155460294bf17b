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
# Where there is no graphics card this one looks for it seconds long before it gives up.
export GST_PLUGIN_FEATURE_RANK=kmssink:NONE
# What the viewer in each language says after the age.
declare -A looked=([cpp]='' [python]='   brightness [0-9.]+$')

# try_pair LANGUAGE OTHER: a process of its own, in which the viewer in the other language
# comes to look, too
try_pair() (
  declare -n writer=writer_$1 viewer=viewer_$1 other_viewer=viewer_$2
  work=$work/$1 channel=$channel.$1
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

tries=()
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
