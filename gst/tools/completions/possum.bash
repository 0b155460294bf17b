# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
# Completion of possum(1) for bash.

_possum() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local command='' words i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${COMP_WORDS[i]} in
      list | info | watch | clean) command=${COMP_WORDS[i]} && break ;;
    esac
  done
  case $previous in
    -i | --interval | -n | --count) return ;;
  esac
  case $command in
    '') words='list info watch clean --help --version' ;;
    list) words='--json --quiet --help' ;;
    info) words='--json --help' ;;
    watch) words='--json --interval --count --help' ;;
    clean) words='--json --dry-run --help' ;;
  esac
  if [[ $command && $command != list && $current != -* ]]; then
    words=$(possum list --quiet 2>/dev/null)
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _possum possum
