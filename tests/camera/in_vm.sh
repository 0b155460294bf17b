#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# in_vm.sh PART PLAYER DIR: what camera.sh runs beside the camera.
set -euo pipefail
part=$1 player=$2 dir=$3
# The registry of the other side is only read there.
export GST_REGISTRY=/tmp/registry.bin
# One of autovideosink's choices wants OpenGL, which takes seconds for a frame here.
export GST_PLUGIN_FEATURE_RANK=glimagesink:NONE
fail() { echo "FAILED: $*"; exit 1; }

# pair NAME FRAMES IO-MODE: camera -> channel -> reader, neither drops; compares the logs.
pair() {
    local name=$1 frames=$2 mode=$3 writer reader
    "$player" --sums possumsrc channel="$name" leaky-type=none ! \
        fakesink name=check sync=false >"$dir/$name.reader" 2>&1 &
    reader=$!
    # The camera does not wait: start it when the reader does.
    grep -qm1 '^progress start' <(tail -f -n +1 --pid=$reader "$dir/$name.reader") ||
        fail "$name: the reader does not run: $(cat "$dir/$name.reader")"
    "$player" --sums v4l2src num-buffers="$frames" io-mode="$mode" ! \
        video/x-raw,format=YUY2,width=320,height=180 ! \
        possumsink name=check channel="$name" allow-blocking=true min-readers=1 \
        >"$dir/$name.writer" 2>&1 &
    writer=$!
    wait $writer || fail "$name: the writer ended with $?: $(cat "$dir/$name.writer")"
    wait $reader || fail "$name: the reader ended with $?: $(cat "$dir/$name.reader")"
    check "$name"
}

# What arrived must be the writer's last frames, all of them, whole and in order. The
# first ones may have come before the reader was attached.
check() {
    local name=$1 arrived
    # PTS differ by the two base times.
    grep '^sum' "$dir/$name.writer" | cut -d' ' -f2,4,5 >"$dir/sent"
    grep '^sum' "$dir/$name.reader" | cut -d' ' -f2,4,5 >"$dir/got"
    arrived=$(wc -l <"$dir/got")
    [ "$arrived" -ge 20 ] || fail "$name: only $arrived frames arrived"
    tail -n "$arrived" "$dir/sent" | diff - "$dir/got" ||
        fail "$name: the frames differ from those of the camera"
    [ "$(cut -d' ' -f2 "$dir/got" | sort -u)" = $((320 * 180 * 2)) ] ||
        fail "$name: incomplete frames"
    cut -d' ' -f1 "$dir/got" | sort -nc || fail "$name: frames out of order"
    [ "$(cut -d' ' -f3 "$dir/got" | sort -u | wc -l)" -gt 10 ] ||
        fail "$name: the picture does not move"
    echo "$name: $arrived frames complete and in order"
    grep '^stats' "$dir/$name.writer"
}
statistic() { sed -n "s/^stats.* $2=([a-z0-9]*)\([0-9]*\).*/\1/p" "$dir/$1.writer"; }

pairs() {
    pair mmap 60 auto
    [ "$(statistic mmap copied)" -ge 20 ] || fail "mmap: the statistics know no copy"
    pair userptr 60 userptr
    [ "$(statistic userptr copied)" = 0 ] || fail "userptr: frames were copied"
    [ "$(statistic userptr zero-copy)" -ge 20 ] || fail "userptr: no frame without a copy"
}

# How many colours the screen shows: 1 when empty, 0 when it cannot be seen. The camera's
# picture has 8 bars and a text.
colours() {
    import -window root png:- 2>/dev/null | identify -format %k - 2>/dev/null || echo 0
}

# The two lines of the README, as they stand there, and what a person would see.
window() {
    local line1 line2 display seen=0 i
    v4l2-ctl -d /dev/video0 --set-dv-bt-timings index=0 >/dev/null  # 640x480
    coproc XVFB { exec Xvfb -noreset -displayfd 1 -screen 0 800x600x24 2>/dev/null; }
    read -r display <&"${XVFB[0]}"
    export DISPLAY=:$display
    for ((i = 0; i < 100 && $(colours) == 0; i++)); do sleep 0.1; done  # it is up
    gst-launch-1.0 v4l2src ! possumsink >"$dir/line1" 2>&1 &
    line1=$!
    gst-launch-1.0 possumsrc ! videoconvert ! autovideosink >"$dir/line2" 2>&1 &
    line2=$!
    for ((i = 0; i < 60 && seen < 8; i++)); do
        { kill -0 $line1 && kill -0 $line2; } 2>/dev/null || break  # an emulated machine takes its time
        sleep 1
        seen=$(colours)
    done
    [ "$seen" -ge 8 ] || fail "no camera picture on the screen: $(cat "$dir/line2")"
    echo "camera picture on the screen: $seen colours"
    kill -INT $line1 $line2
    wait $line1 || fail "the writing line ended with $?: $(cat "$dir/line1")"
    wait $line2 || fail "the reading line ended with $?: $(cat "$dir/line2")"
}

"$part"
[ -z "$(ls /dev/shm | grep possum)" ] || fail "names left: $(ls /dev/shm)"
echo "$part: passed"
