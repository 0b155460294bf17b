#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# What srt-send.sh sends, into a channel of this machine. HOST is the own address to listen
# on, 0.0.0.0 for all. `ts` takes what other programs send, too.
set -euo pipefail
. "$(dirname "$0")/common.sh"
arguments 'CHANNEL HOST PORT [rtp|ts] [LATENCY_MS]' 3 5 "$@"
channel=$1 host=$2 port=$3 format=${4:-rtp} latency=${5:-60}
check_port "$port"
check_latency "$latency"
need possumsink="$possum" srtsrc=gstreamer1.0-plugins-bad avdec_h264=gstreamer1.0-libav
case $format in
  rtp)
    need rtph264depay=gstreamer1.0-plugins-good
    wrapper=(application/x-rtp,media=video,clock-rate=90000,encoding-name=H264,payload=96
      ! rtph264depay)
    ;;
  ts)
    need tsdemux=gstreamer1.0-plugins-bad
    # It would ask sinks for another 700 ms.
    wrapper=(tsdemux latency=1 ! h264parse)
    ;;
  *) fail "\"$format\" is no format here: rtp or ts" ;;
esac

echo "srt://$host:$port to channel \"$channel\", $format, $latency ms to wait for lost packets"
exec gst-launch-1.0 -q srtsrc uri="srt://$host:$port?mode=listener" latency="$latency" \
    keep-listening=true \
  ! "${wrapper[@]}" ! avdec_h264 ! possumsink channel="$channel"
