# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""What write.py and read.py have in common: ending in order, by Ctrl-C and by kill."""

import signal
import sys

import possum


def run(main):
    """Runs main(). Signals end it as Ctrl-C does: `with` blocks close, names go away."""

    def end(number, _):
        signal.signal(number, signal.SIG_IGN)  # once is enough
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    try:
        main()
    except KeyboardInterrupt:
        pass
    except (possum.Error, RuntimeError) as error:
        sys.exit(f"{sys.argv[0]}: {error}")
