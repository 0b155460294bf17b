#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# network.sh SOURCE_ROOT BUILD_ROOT: each way out of the machine and back, and how long a
# picture takes. Between two network namespaces where that is allowed, so that nothing but
# the network can be the way; otherwise on the loopback device.
set -euo pipefail
scripts=$1/examples/network
latency=$2/examples/network/possum-latency
channel=t$$.network
pids=()
skipped=

skip() {
  echo "SKIPPED: $*"
  exit 77
}
# The other machine: `far COMMAND` runs there, at $far_host; here is $near_host.
two_machines() {
  unshare --net sleep 600 &
  local far_pid=$!
  far=(nsenter --target "$far_pid" --net)
  near_host=192.0.2.1 far_host=192.0.2.2
  # Until the other process has left this namespace.
  while [ "$(readlink "/proc/$far_pid/ns/net")" = "$(readlink /proc/self/ns/net)" ]; do
    kill -0 "$far_pid" || return 1
  done
  ip link add possum-near type veth peer name possum-far netns "$far_pid" &&
    ip addr add $near_host/24 dev possum-near && ip link set possum-near up &&
    "${far[@]}" ip addr add $far_host/24 dev possum-far &&
    "${far[@]}" ip link set possum-far up
}
one_machine() {
  far=() near_host=127.0.0.1 far_host=127.0.0.1
}
namespace_works() { unshare "$@" ip link add possum-a type veth peer name possum-b; }

if [ "${3-}" != inside ]; then
  for options in --net '--net --map-root-user'; do
    # shellcheck disable=SC2086
    namespace_works $options 2>/dev/null && exec unshare $options "$0" "$1" "$2" inside
  done
fi
. "${BASH_SOURCE%/*}/../support/script.sh"
if [ "${3-}" = inside ]; then
  two_machines || fail 'the two namespaces cannot be connected'
  echo '-- between two network namespaces'
else
  one_machine
  echo '-- on the loopback device'
fi

for element in x264enc avdec_h264 srtsink rtph264pay jpegenc; do
  gst-inspect-1.0 --exists "$element" || skip "GStreamer does not find $element"
done

# here LOG COMMAND..., there LOG COMMAND...: in the background, on this and the other machine
here() {
  local log=$1
  shift
  "$@" >"$work/$log.log" 2>&1 &
  pids+=($!)
}
there() {
  local log=$1
  shift
  here "$log" "${far[@]}" "$@"
}
# measure WAY: in the background
measure() { start "$1" "$latency" read "$channel.$1" --frames 30; }
# judge WAY LEAST: the median in milliseconds is at least that, and less than half a second
judge() {
  ended "$1" 0
  printf '%-9s %s\n' "$1" "$(cat "$work/$1.log")"
  local median
  median=$(sed -n 's/^latency: median \([0-9]*\) ms.*/\1/p' "$work/$1.log")
  [ -n "$median" ] && [ "$median" -ge "$2" ] && [ "$median" -lt 500 ] ||
    fail "$1: a latency of \"$median\" ms"
}
# Ctrl-C, for gst-launch-1.0 ends in order then only.
stop_all() {
  kill -INT "${pids[@]}" 2>/dev/null || true
  wait "${pids[@]}" || true
  pids=()
}

port=$((20000 + $$ % 20000))
here writer "$latency" write "$channel.a"
measure a
there srt-rtp-receive "$scripts/srt-receive.sh" "$channel.srt-rtp" "$far_host" "$port"
here srt-rtp-send "$scripts/srt-send.sh" "$channel.a" "$far_host" "$port"
measure srt-rtp
there srt-ts-receive "$scripts/srt-receive.sh" "$channel.srt-ts" "$far_host" $((port + 1)) ts
here srt-ts-send "$scripts/srt-send.sh" "$channel.a" "$far_host" $((port + 1)) ts
measure srt-ts
there rtp-h264-receive "$scripts/rtp-receive.sh" "$channel.rtp-h264" "$far_host" $((port + 2))
here rtp-h264-send "$scripts/rtp-send.sh" "$channel.a" "$far_host" $((port + 2))
measure rtp-h264
there rtp-jpeg-receive "$scripts/rtp-receive.sh" "$channel.rtp-jpeg" "$far_host" $((port + 4)) jpeg
here rtp-jpeg-send "$scripts/rtp-send.sh" "$channel.a" "$far_host" $((port + 4)) jpeg
measure rtp-jpeg

# The distribution's Python, which the bindings belong to.
if /usr/bin/python3 "$scripts/rtsp-serve.py" --help >"$work/rtsp-help.log" 2>&1; then
  start rtsp-serve /usr/bin/python3 "$scripts/rtsp-serve.py" "$channel.a" "$near_host" $((port + 6))
  pids+=("${pid[rtsp-serve]}")
  heard rtsp-serve .
  there rtsp-receive "$scripts/rtsp-receive.sh" "$channel.rtsp" "$near_host" $((port + 6)) "$channel.a"
  measure rtsp
else
  skipped=$(tail -n 1 "$work/rtsp-help.log")
fi

judge a 0
# SRT keeps each packet back for its latency: less would mean that the measure is wrong.
judge srt-rtp 60
judge srt-ts 60
judge rtp-h264 0
judge rtp-jpeg 0
[ -n "$skipped" ] || judge rtsp 0
stop_all
no_names

echo '-- what cannot be'
# expect_failure PATTERN COMMAND...
expect_failure() {
  local pattern=$1
  shift
  ! "$@" >"$work/failure.log" 2>&1 || fail "$* does not fail"
  grep -qE -- "$pattern" "$work/failure.log" || fail "$* does not say \"$pattern\""
}
expect_failure '^srt-send.sh: GStreamer does not find x264enc: install gstreamer1.0-plugins-ugly$' \
  env GST_PLUGIN_SYSTEM_PATH= GST_REGISTRY="$work/registry" \
  "$scripts/srt-send.sh" "$channel.a" localhost "$port"
expect_failure '^rtp-receive.sh: "99999" is no port' "$scripts/rtp-receive.sh" x 0.0.0.0 99999
expect_failure '^rtp-send.sh: usage: rtp-send.sh CHANNEL HOST PORT' "$scripts/rtp-send.sh" x
[ -z "$skipped" ] || skip "RTSP: $skipped"
