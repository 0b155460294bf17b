#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# What rtp-send.sh sends, into a channel of this machine. HOST is the own address to listen
# on, 0.0.0.0 for all, or a multicast group.
set -euo pipefail
. "$(dirname "$0")/common.sh"
arguments 'CHANNEL HOST PORT [h264|jpeg] [LATENCY_MS]' 3 5 "$@"
channel=$1 host=$2 port=$3 codec=${4:-h264} latency=${5:-40}
check_port "$port"
check_latency "$latency"
need possumsink="$possum" udpsrc=gstreamer1.0-plugins-good \
  rtpjitterbuffer=gstreamer1.0-plugins-good
case $codec in
  h264)
    need avdec_h264=gstreamer1.0-libav
    name=H264 payload=96 decoder=(rtph264depay ! avdec_h264)
    ;;
  jpeg)
    need jpegdec=gstreamer1.0-plugins-good
    name=JPEG payload=26 decoder=(rtpjpegdepay ! jpegdec)
    ;;
  *) fail "\"$codec\" is no codec here: h264 or jpeg" ;;
esac

echo "$host:$port to channel \"$channel\", RTP over UDP, $codec, $latency ms against jitter"
# There is nobody to say what comes, as RTSP would, so both scripts must agree.
exec gst-launch-1.0 -q udpsrc address="$host" port="$port" buffer-size=4194304 \
    caps="application/x-rtp,media=video,clock-rate=90000,encoding-name=$name,payload=$payload" \
  ! rtpjitterbuffer latency="$latency" drop-on-latency=true \
  ! "${decoder[@]}" ! possumsink channel="$channel"
