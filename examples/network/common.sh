# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# What the scripts here share: arguments, and a sentence instead of a riddle when something
# is missing.

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# arguments SYNOPSIS LEAST MOST "$@": how many there may be, and --help
arguments() {
  local synopsis=$1 least=$2 most=$3
  shift 3
  [[ ${1-} != --help && ${1-} != -h ]] || { echo "Usage: $(basename "$0") $synopsis"; exit 0; }
  [[ $# -ge $least && $# -le $most ]] || fail "usage: $(basename "$0") $synopsis"
}

check_port() {
  [[ $1 =~ ^[0-9]{1,5}$ ]] && (($1 > 0 && $1 < 65536)) || fail "\"$1\" is no port: 1 to 65535"
}
check_latency() {
  [[ $1 =~ ^[0-9]{1,5}$ ]] || fail "\"$1\" is no latency: a number of milliseconds"
}

# need ELEMENT=PACKAGE...: packages as Debian and Ubuntu call them
need() {
  local pair
  command -v gst-launch-1.0 >/dev/null || fail 'gst-launch-1.0 is missing: install gstreamer1.0-tools'
  for pair; do
    # Without a version it asks for 1.0, GStreamer's own.
    gst-inspect-1.0 --exists --atleast-version=0.0.0 "${pair%=*}" ||
      fail "GStreamer does not find ${pair%=*}: install ${pair#*=}"
  done
}
possum='possum, or run this inside "meson devenv -C build"'

# The picture as a stream that a receiver can join within a second, with no frame kept back
# for the sake of compression. I420, for browsers and cameras know no other.
h264_encoder=(
  videoconvert ! video/x-raw,format=I420
  ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=4000 key-int-max=30
)
