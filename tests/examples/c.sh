#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# c.sh BUILD_ROOT: the programs in examples/c as a person runs them.
set -euo pipefail
programs=$1/examples/c
channel=t$$.c

. "${BASH_SOURCE%/*}/../support/script.sh"

# The readers come first and wait; each loop ends by another of its events.
mkfifo "$work/orders" "$work/told"
timeout 60 "$programs/possum-c-reader" "$channel" 5 >"$work/reader.log" 2>&1 &
reader=$!
timeout 60 "$programs/possum-c-events" "$channel" <"$work/orders" >"$work/told" 2>"$work/quits.log" &
quits=$!
exec {orders}>"$work/orders" {told}<"$work/told"
timeout 60 "$programs/possum-c-events" "$channel" </dev/null >"$work/stops.log" 2>&1 &
stops=$!
timeout 60 "$programs/possum-c-events" "$channel" </dev/null >"$work/ends.log" 2>&1 &
ends=$!
"$programs/possum-c-writer" "$channel" >"$work/writer.log" 2>&1 &
writer=$!

wait $reader || fail "the reader"
grep -qE '^frame [0-9]+: BGR 640x480, [0-9.]+ ms old, 51\.2 bright, ' "$work/reader.log" ||
  fail "the reader saw another picture"
[ "$(wc -l <"$work/reader.log")" -eq 5 ] || fail "the reader took another number of frames"
read -r line <&"$told"
[[ $line == "frame "*": 921600 bytes of video/x-raw, format=(string)BGR,"* ]] || fail "events: $line"
echo quit >&"$orders"
wait $quits || fail "events did not quit"
pkill -TERM -P $stops || fail "events is not there"
wait $stops || fail "events did not end by a signal"
kill -INT $writer
wait $writer || fail "the writer did not end by Ctrl-C"
wait $ends || fail "events did not end with the channel"
grep -q '^frame ' "$work/ends.log" || fail "events had no frame"

status=0
"$programs/possum-c-writer" "no such name" 2>"$work/refused.log" || status=$?
[ "$status" -eq 1 ] && grep -q 'no such name' "$work/refused.log" || fail "a bad name is taken"
no_names
