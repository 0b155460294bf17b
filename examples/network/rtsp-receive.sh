#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# The H.264 stream of rtsp-serve.py, or of a network camera, into a channel of this machine.
set -euo pipefail
. "$(dirname "$0")/common.sh"
arguments 'CHANNEL HOST PORT [PATH] [LATENCY_MS]' 3 5 "$@"
channel=$1 host=$2 port=$3 path=${4:-$1} latency=${5:-40}
check_port "$port"
check_latency "$latency"
need possumsink="$possum" rtspsrc=gstreamer1.0-plugins-good \
  rtph264depay=gstreamer1.0-plugins-good avdec_h264=gstreamer1.0-libav

echo "rtsp://$host:$port/$path to channel \"$channel\", $latency ms against jitter"
exec gst-launch-1.0 -q rtspsrc location="rtsp://$host:$port/$path" latency="$latency" \
    drop-on-latency=true \
  ! rtph264depay ! avdec_h264 ! possumsink channel="$channel"
