#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# A channel to another host, where rtp-receive.sh waits: RTP over UDP. HOST may be a
# multicast group.
set -euo pipefail
. "$(dirname "$0")/common.sh"
arguments 'CHANNEL HOST PORT [h264|jpeg]' 3 4 "$@"
channel=$1 host=$2 port=$3 codec=${4:-h264}
check_port "$port"
need possumsrc="$possum" udpsink=gstreamer1.0-plugins-good
case $codec in
  h264)
    need x264enc=gstreamer1.0-plugins-ugly
    encoder=("${h264_encoder[@]}" ! rtph264pay config-interval=-1)
    ;;
  jpeg)
    # Each picture for itself: more bits, but a lost packet costs one frame only.
    need jpegenc=gstreamer1.0-plugins-good
    encoder=(videoconvert ! video/x-raw,format=I420 ! jpegenc quality=80 ! rtpjpegpay)
    ;;
  *) fail "\"$codec\" is no codec here: h264 or jpeg" ;;
esac

echo "channel \"$channel\" to $host:$port, RTP over UDP, $codec"
exec gst-launch-1.0 -q possumsrc channel="$channel" ignore-eos=true \
  ! "${encoder[@]}" ! udpsink host="$host" port="$port" sync=false
