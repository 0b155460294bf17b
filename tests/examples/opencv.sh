#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# opencv.sh SOURCE_ROOT BUILD_ROOT: demo.sh and the OpenCV programs as a person runs them,
# on a machine without a display.
set -euo pipefail
source_root=$1
programs=$2/examples/opencv
channel=t$$.opencv
unset DISPLAY WAYLAND_DISPLAY

. "${BASH_SOURCE%/*}/../support/script.sh"
# expect FILE PATTERN: a line that matches the extended regular expression
expect() { grep -qE -- "$2" "$work/$1" || fail "no line \"$2\" in $1"; }
# has_picture FILE: more than a plain area
has_picture() {
  local colours
  colours=$(identify -format %k "$1") || fail "$1 is no picture"
  [ "$colours" -gt 50 ] || fail "$1 has $colours colours only"
}
# start LOG COMMAND...: in the background, its lines by `heard`
start() {
  local log=$1
  shift
  mkfifo "$work/$log.fifo"
  "$@" >"$work/$log.fifo" 2>>"$work/$log" &
  started=$!
  exec {lines}<"$work/$log.fifo"
  rm "$work/$log.fifo"
}
# heard DESCRIPTOR TEXT: reads up to the line that begins so
heard() {
  local line
  while read -r -t 60 line <&"$1"; do
    [[ $line != "$2"* ]] || return 0
  done
  fail "a program did not say \"$2\""
}

echo '-- the demonstration'
rm -f "$2/demo.png"
"$source_root/examples/demo.sh" --seconds 3 --build-dir "$2" >"$work/demo.log" 2>&1 ||
  fail "demo.sh: exit status $?"
expect demo.log '^frames carried    [1-9][0-9]+ '
# Perhaps some at the start, while the pool grows.
expect demo.log '^copies made       0 by the writer, [0-5] by the reader$'
has_picture "$2/demo.png"

echo '-- a killed writer and its successor'
start first.log "$programs/possum-capture" --channel "$channel" --test --fps 60
first=$started first_lines=$lines
heard "$first_lines" writing
start reader.log "$programs/possum-display" --channel "$channel" --no-window \
  --snapshot "$work/last.png"
reader=$started reader_lines=$lines
heard "$reader_lines" showing
kill -KILL "$first"
wait "$first" || true
start second.log "$programs/possum-capture" --channel "$channel" --test --fps 60 --frames 60
second=$started
wait "$second" || fail "the second writer: exit status $?"
wait "$reader" || fail "the reader at EOS: exit status $?"
cat <&"$reader_lines" >"$work/reader.log"
expect reader.log '^carried: ([3-9][0-9]|[1-9][0-9]{2,})$'
has_picture "$work/last.png"
no_names

echo '-- bad input'
if "$programs/possum-capture" --channel "$channel" --camera 99 >"$work/camera.log" 2>&1; then
  fail 'a camera that does not exist is no error'
fi
expect camera.log '^possum-capture: .*99'
no_names
