# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
# Completion of possum(1) for fish.

set -l commands list info watch clean
complete -c possum -f
complete -c possum -n "not __fish_seen_subcommand_from $commands" -a "$commands"
complete -c possum -n "__fish_seen_subcommand_from info watch clean" \
    -a "(possum list --quiet 2>/dev/null)"
complete -c possum -s j -l json -d "For programs"
complete -c possum -s h -l help
complete -c possum -s V -l version
complete -c possum -n "__fish_seen_subcommand_from list" -s q -l quiet -d "Names alone"
complete -c possum -n "__fish_seen_subcommand_from watch" -s i -l interval -x -d "Seconds"
complete -c possum -n "__fish_seen_subcommand_from watch" -s n -l count -x -d "Reports"
complete -c possum -n "__fish_seen_subcommand_from clean" -l dry-run
