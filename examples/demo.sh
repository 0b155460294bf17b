#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# The main job in one command: a camera in one process, its picture in another, with
# shared memory between them. See usage() below.
set -euo pipefail

usage() {
  cat <<'END'
Usage: examples/demo.sh [--seconds N] [--build-dir DIR]

Installs with apt what is missing, builds possum in build/, and runs two programs:
  possum-capture  the first camera, or a moving test picture, into a possum channel
  possum-display  that channel in a window, until you close it or press Ctrl-C
Without a display the window opens on a virtual one for 5 seconds, and a screenshot of it
is saved. The end is a summary: frames, frame rate, copies, median frame age.

  --seconds N      end after N seconds
  --build-dir DIR  build there instead of in build/
  --help           this text
END
}

readonly packages=(
  g++ meson ninja-build pkg-config
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev gstreamer1.0-plugins-base
  gstreamer1.0-tools
  libopencv-dev
)
readonly packages_without_display=(xvfb imagemagick)

say() { printf '==> %s\n' "$*"; }
fail() {
  printf 'demo.sh: %s\n' "$*" >&2
  exit 1
}

seconds=
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build
. "$root/tests/support/packages.sh"
# Its own channel, so that one in use is not disturbed.
channel=demo-$$
work=
capture=
display=
timer=
xvfb=
interrupted=false

parse_arguments() {
  while [[ $# -gt 0 ]]; do
    case $1 in
      --seconds)
        [[ ${2-} =~ ^[1-9][0-9]*$ ]] || fail '--seconds wants a number'
        seconds=$2
        shift 2
        ;;
      --build-dir)
        [[ -n ${2-} ]] || fail '--build-dir wants a directory'
        build=$(realpath -m "$2")
        shift 2
        ;;
      --help)
        usage
        exit 0
        ;;
      *) fail "unknown argument $1 (try --help)" ;;
    esac
  done
}

has_display() { [[ -n ${DISPLAY-} || -n ${WAYLAND_DISPLAY-} ]]; }

install_missing() {
  local wanted=("${packages[@]}")
  has_display || wanted+=("${packages_without_display[@]}")
  install_packages "${wanted[@]}" || fail 'packages are missing'
}

# Says no more than it must when all is well.
run_quietly() {
  "$@" >"$work/build.log" 2>&1 && return
  cat "$work/build.log" >&2
  fail "\"$*\" failed, see above"
}

build_programs() {
  say "Building in $build"
  rm -f "$screenshot"
  if [[ ! -f $build/build.ninja ]]; then
    run_quietly meson setup "$build" "$root" -Dexamples=enabled
  elif ! ninja -C "$build" -t query demo >/dev/null 2>&1; then
    # It was set up before OpenCV was there.
    run_quietly meson setup --reconfigure "$build" "$root" -Dexamples=enabled
  fi
  run_quietly ninja -C "$build" demo
}

# stop PID: ends a child of ours, if there is one, and waits until it is gone.
stop() {
  [[ -n $1 ]] || return 0
  kill -TERM "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

clean_up() {
  local status=$?
  trap '' INT TERM HUP
  stop "$timer"
  stop "$display"
  stop "$capture"
  stop "$xvfb"
  # Only there if possum-capture was killed; the channel is ours alone.
  rm -f "/dev/shm/possum-c.$channel" "/dev/shm/possum-d.$channel".*
  rm -rf "$work"
  exit "$status"
}

# await_line FILE PATTERN: reads a program's output up to the line that begins so, and
# leaves it in `line`; false if the program ended first.
await_line() {
  while read -r line <&"$1"; do
    [[ $line != "$2"* ]] || return 0
  done
  return 1
}

# Sets `capture` and `capture_out`; false if the program ended before it could write.
start_capture() {
  local line
  rm -f "$work/capture.out"
  mkfifo "$work/capture.out"
  "$build/examples/opencv/possum-capture" --channel "$channel" "$@" \
    >"$work/capture.out" 2>"$work/capture.err" &
  capture=$!
  exec {capture_out}<"$work/capture.out"
  if await_line "$capture_out" writing; then
    say "possum-capture (pid $capture) is $line"
    return
  fi
  exec {capture_out}<&-
  wait "$capture" || true
  capture=
  return 1
}

start_writer() {
  if compgen -G '/dev/video*' >/dev/null; then
    start_capture && return
    say "$(sed 's/^possum-capture: //' "$work/capture.err")"
  else
    say 'There is no camera (/dev/video*)'
  fi
  say 'Taking a moving test picture instead'
  start_capture --test || {
    cat "$work/capture.err" >&2
    fail 'possum-capture does not run'
  }
}

start_virtual_display() {
  local number
  mkfifo "$work/display.number"
  # In a session of its own, for Ctrl-C must not end it before the window.
  setsid Xvfb -displayfd 3 -screen 0 1280x800x24 -noreset -nolisten tcp \
    3>"$work/display.number" >"$work/xvfb.log" 2>&1 &
  xvfb=$!
  read -r number <"$work/display.number" || {
    cat "$work/xvfb.log" >&2
    fail 'Xvfb does not start'
  }
  export DISPLAY=:$number
  say "There is no display: using a virtual one ($DISPLAY)"
}

# Sets `display` and `display_out`.
start_reader() {
  local line
  mkfifo "$work/display.out"
  "$build/examples/opencv/possum-display" --channel "$channel" \
    >"$work/display.out" 2>"$work/display.err" &
  display=$!
  exec {display_out}<"$work/display.out"
  await_line "$display_out" showing || {
    cat "$work/display.err" >&2
    fail 'possum-display shows nothing'
  }
  say "possum-display (pid $display) is $line from it${seconds:+ for $seconds s}"
  [[ -n $xvfb ]] || say 'Close its window or press Ctrl-C to end'
}

# Until the time is over, the window closed, a program ended or Ctrl-C pressed.
wait_for_end() {
  local pids=("$capture" "$display")
  if [[ -n $seconds ]]; then
    sleep "$seconds" &
    timer=$!
    pids+=("$timer")
  fi
  $interrupted || wait -n "${pids[@]}" || true
}

save_screenshot() {
  # Ctrl-C has reached the window too, which may be half gone.
  ! $interrupted && kill -0 "$display" 2>/dev/null || return 0
  import -window "possum: $channel" "$screenshot" || fail 'no screenshot could be taken'
  say "Screenshot: $screenshot"
}

# Sets `reader_status` and `writer_status`.
end_programs() {
  reader_status=0
  writer_status=0
  kill -TERM "$display" 2>/dev/null || true
  cat <&"$display_out" >"$work/display.log"
  wait "$display" || reader_status=$?
  display=
  kill -TERM "$capture" 2>/dev/null || true
  cat <&"$capture_out" >"$work/capture.log"
  wait "$capture" || writer_status=$?
  capture=
}

# figure FILE NAME: what a program printed as "NAME: figure"; a killed one printed nothing.
figure() {
  local value
  value=$(sed -n "s/^$2: //p" "$work/$1")
  printf '%s' "${value:-?}"
}

print_summary() {
  if [[ $reader_status -ne 0 ]]; then
    cat "$work/display.err" >&2
    fail 'possum-display failed, see above'
  fi
  local carried
  carried=$(figure display.log carried)
  cat <<END

frames carried    $carried ($(figure display.log shown) shown, $(figure display.log missed) missed)
frame rate        $(figure display.log 'frames per second') fps
copies made       $(figure capture.log 'copied by the writer') by the writer, $(figure display.log 'copied by the reader') by the reader
median frame age  $(figure display.log 'median frame age') from capture to window
END
  if [[ $writer_status -ne 0 ]]; then
    cat "$work/capture.err" >&2
    fail 'possum-capture failed, see above'
  fi
  [[ $carried -gt 0 ]] || fail 'no frame arrived'
}

parse_arguments "$@"
screenshot=$build/demo.png
work=$(mktemp -d)
trap clean_up EXIT
install_missing
build_programs
export GST_PLUGIN_PATH=$build/gst/possum${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
export GST_REGISTRY=$build/registry.demo.bin
trap 'exit 130' INT TERM HUP
if ! has_display; then
  start_virtual_display
  seconds=${seconds:-5}
fi
start_writer
start_reader
# From here on an interrupt is an ordinary end, with a summary.
trap 'interrupted=true' INT TERM HUP
wait_for_end
[[ -z $xvfb ]] || save_screenshot
end_programs
print_summary
