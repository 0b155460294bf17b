#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# c.sh BUILD_ROOT: the programs in examples/c as a person runs them.
set -euo pipefail
programs=$1/examples/c
channel=t$$.c

. "${BASH_SOURCE%/*}/../support/script.sh"

# The readers come first and wait; each loop ends by another of its events, and two of them
# have nothing to read.
events() { exec "$programs/possum-c-events" "$channel" </dev/null; }
start reader "$programs/possum-c-reader" "$channel" 5
start quits "$programs/possum-c-events" "$channel"
start stops events
start ends events
start writer "$programs/possum-c-writer" "$channel"

ended reader 0
said reader.log '^frame [0-9]+: BGR 640x480, [0-9.]+ ms old, 51\.2 bright, '
[ "$(wc -l <"$work/reader.log")" -eq 5 ] || fail "the reader took another number of frames"
heard quits '^frame .*: 921600 bytes of video/x-raw, format=\(string\)BGR,'
press quits quit
ended quits 0
kill -TERM "${pid[stops]}"
ended stops 0
kill -INT "${pid[writer]}"
ended writer 0
ended ends 0
said ends.log '^frame '

start refused "$programs/possum-c-writer" "no such name"
ended refused 1
said refused.err.log 'no such name'
no_names
