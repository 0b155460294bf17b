#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# A channel to another host, where srt-receive.sh waits: H.264 by SRT, in RTP packets (the
# fastest), or as an MPEG transport stream, which other programs understand.
set -euo pipefail
. "$(dirname "$0")/common.sh"
arguments 'CHANNEL HOST PORT [rtp|ts] [LATENCY_MS]' 3 5 "$@"
channel=$1 host=$2 port=$3 format=${4:-rtp} latency=${5:-60}
check_port "$port"
check_latency "$latency"
need possumsrc="$possum" x264enc=gstreamer1.0-plugins-ugly srtsink=gstreamer1.0-plugins-bad
case $format in
  rtp)
    need rtph264pay=gstreamer1.0-plugins-good
    # What one SRT packet holds.
    wrapper=(rtph264pay mtu=1316 config-interval=-1)
    ;;
  ts)
    need mpegtsmux=gstreamer1.0-plugins-bad
    wrapper=(h264parse config-interval=-1 ! mpegtsmux alignment=7)
    ;;
  *) fail "\"$format\" is no format here: rtp or ts" ;;
esac

echo "channel \"$channel\" to srt://$host:$port, $format, $latency ms to send lost packets again"
exec gst-launch-1.0 -q possumsrc channel="$channel" ignore-eos=true \
  ! "${h264_encoder[@]}" ! "${wrapper[@]}" \
  ! srtsink uri="srt://$host:$port?mode=caller" latency="$latency" \
    wait-for-connection=false sync=false
