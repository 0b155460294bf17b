#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# fuzz.sh PROGRAM CORPUS: lets a fuzz target make up lies for POSSUM_SOAK_SECONDS, or 8
# seconds, starting from a corpus that stays as it is. What it finds on the way is kept in
# PROGRAM.found, which the next run starts from too; an input that ends in a fault is
# PROGRAM.fault-*. More options for libFuzzer: POSSUM_FUZZ_OPTIONS, for example -seed=N.
set -eu
program=$1 corpus=$2
name=${program##*/fuzz-}
found=$program.found
# The sanitizers, and the second thread of some targets on a machine with few cores.
export POSSUM_FUZZ_SLOWNESS="${POSSUM_FUZZ_SLOWNESS:-4}"
dictionary=$(dirname "$0")/$name.dict
set -- -max_total_time="${POSSUM_SOAK_SECONDS:-8}" -timeout=20 -rss_limit_mb=1024 \
  -malloc_limit_mb=256 -print_final_stats=1 -artifact_prefix="$program.fault-"
[ ! -f "$dictionary" ] || set -- "$@" -dict="$dictionary"
# GStreamer's parser leaks what it does not understand.
case $name in caps) export ASAN_OPTIONS=detect_leaks=0 ;; esac
mkdir -p "$found"
status=0
# shellcheck disable=SC2086  # several options
"$program" "$@" ${POSSUM_FUZZ_OPTIONS:-} "$found" "$corpus" 2>"$program.log" || status=$?
# GStreamer's own complaints about a text are not news; libFuzzer's are.
grep -aE '^INFO: Seed|DONE|^stat::|ERROR|SUMMARY|failed:|more than it may|Test unit|    #[0-9]' \
  "$program.log" || true
# A fault leaves the names of its channel.
[ "$status" -eq 0 ] || rm -f /dev/shm/possum-[cd].fuzz-*
exit "$status"
