# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# For scripts that run programs as a person does; source it with `channel` set to what the
# names of all their channels begin with. At the end jobs, names and $work are gone.
work=$(mktemp -d)

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
