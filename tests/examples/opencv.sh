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
# has_picture FILE: more than a plain area
has_picture() {
  local colours
  colours=$(identify -format %k "$1") || fail "$1 is no picture"
  [ "$colours" -gt 50 ] || fail "$1 has $colours colours only"
}

echo '-- the demonstration'
rm -f "$2/demo.png"
"$source_root/examples/demo.sh" --seconds 3 --build-dir "$2" >"$work/demo.log" 2>&1 ||
  fail "demo.sh: exit status $?"
said demo.log '^frames carried    [1-9][0-9]+ '
# Perhaps some at the start, while the pool grows.
said demo.log '^copies made       0 by the writer, [0-5] by the reader$'
has_picture "$2/demo.png"

echo '-- a killed writer and its successor'
start first "$programs/possum-capture" --channel "$channel" --test --fps 60
heard first '^writing'
start reader "$programs/possum-display" --channel "$channel" --no-window --snapshot "$work/last.png"
heard reader '^showing'
murder first
start second "$programs/possum-capture" --channel "$channel" --test --fps 60 --frames 60
ended second 0
ended reader 0
said reader.log '^carried: ([3-9][0-9]|[1-9][0-9]{2,})$'
has_picture "$work/last.png"
no_names

echo '-- bad input'
if "$programs/possum-capture" --channel "$channel" --camera 99 >"$work/camera.log" 2>&1; then
  fail 'a camera that does not exist is no error'
fi
said camera.log '^possum-capture: .*99'
no_names
