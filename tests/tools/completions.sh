#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# completions.sh SHELL TOOL DIRECTORY: what the shell proposes behind "possum ...", with the
# completion files of the directory. Skipped where there is no such shell.
set -euo pipefail
shell=$1 files=$3
command -v "$shell" >/dev/null || { echo "SKIPPED: there is no $shell"; exit 77; }
PATH=$(dirname "$2"):$PATH
channel=t$$.completions
. "${BASH_SOURCE%/*}/../support/script.sh"
: >"/dev/shm/possum-c.$channel" # enough to be listed

in_bash() {
  # shellcheck disable=SC1091,SC2206
  (
    source "$files/possum.bash"
    COMP_WORDS=($1) COMPREPLY=()
    [[ $1 != *' ' ]] || COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _possum
    printf '%s\n' "${COMPREPLY[@]}"
  )
}
in_fish() {
  # shellcheck disable=SC2016
  HOME=$work LINE=$1 FILE=$files/possum.fish fish --no-config \
    -c 'source $FILE; complete -C "$LINE"' | cut -f1
}

# expect LINE WORD... [. WORD...]: the first ones are proposed, those behind the dot not.
expect() {
  local line=$1 wanted=0 proposed
  shift
  proposed=$("in_$shell" "$line")
  for word; do
    [ "$word" != . ] || { wanted=1; continue; }
    local found=0
    grep -qxF -e "$word" <<<"$proposed" || found=1
    [ "$found" -eq "$wanted" ] || {
      printf 'FAILED: "%s", %s in:\n%s\n' "$line" "$word" "$proposed"
      exit 1
    }
  done
}
expect 'possum ' list info watch clean . "$channel"
expect 'possum li' list . info
expect 'possum info ' "$channel" . list
expect 'possum watch -i 1 ' "$channel"
expect 'possum watch -i ' . "$channel"
expect 'possum clean ' "$channel"
expect 'possum list ' . "$channel"
expect 'possum watch --' --interval --count --json . --dry-run
expect 'possum clean --' --dry-run --json . --count
expect "possum info ${channel%completions}" "$channel"
