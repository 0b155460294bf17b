#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# camera.sh PLAYER: a real V4L2 camera (the kernel's vivid driver in a virtual machine)
# into possumsink in one process, possumsrc in another. Exit status 77 where no virtual
# machine can be had: skipped.
set -euo pipefail
player=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
for need in qemu-system-x86_64 v4l2-ctl; do
    command -v "$need" >/dev/null && continue
    echo "SKIPPED: no camera test without $need" >&2
    exit 77
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

in_vm() {
    local status=0
    "$here/v4l2-vm" -w "$work" bash "$here/in_vm.sh" "$1" "$player" "$work" || status=$?
    if [ "$status" = 125 ]; then
        echo "SKIPPED: the virtual machine did not start" >&2
        exit 77
    fi
    return "$status"
}
in_vm pairs
# Here v4l2src chooses the size: an HDMI input without a scaler has one only, which an
# emulated machine can still convert and show.
V4L2_VM_VIVID="n_devs=1 node_types=0x1 num_inputs=1 input_types=0x3 ccs_cap_mode=0" in_vm window
