# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""The failures of libpossum as exceptions. Each carries the library's own sentence."""

from typing import Dict, Type


class Error(Exception):
    """What went wrong and what to do about it.

    status: libpossum's name for it, such as "busy"; "" if the failure is this module's.
    detail: for a developer, the failing call and its errno text; may be "".
    """

    status: str = ""
    detail: str = ""


class Timeout(Error, TimeoutError):
    """The time was up. Nothing is lost: call again to go on."""


class NotFound(Timeout):
    """The time was up before the channel had a writer."""


class Busy(Error):
    """The channel has a writer already, or as many readers as it can have."""


class NoSlot(Error):
    """Readers that may not be waited for hold all slots. The frame is dropped; go on."""


class NotAllowed(Error, PermissionError):
    """The channel belongs to another user, or the kernel refused access."""


class InvalidValue(Error, ValueError):
    """An argument, an array or caps make no sense here."""


class Closed(Error, ValueError):
    """The reader, writer or slot was closed or used up before."""


# POSSUM_TIMEOUT and so on, as possum.h numbers them; others are plain Error.
BY_STATUS: Dict[int, Type[Error]] = {
    1: Timeout,
    5: NoSlot,
    -1: InvalidValue,
    -2: Busy,
    -3: NotFound,
    -4: NotAllowed,
    -5: NotAllowed,
    -10: InvalidValue,
}
