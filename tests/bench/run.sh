#!/bin/bash
# Measures possum beside its neighbours, on a fresh Debian 12 or Ubuntu too.
usage() {
  cat <<'END'
usage: tests/bench/run.sh [OPTION...] [BENCH OPTION...]

Installs the packages that are missing (apt, with sudo unless root), builds in build-bench/,
measures, prints a table, and writes bench.json, bench.md and bench.svg. Two hours of an
otherwise idle machine, in 5 rounds; --quick: half an hour, in 3.

  --quick        fewer sizes, shorter runs
  --debian13     in a Debian 13 of its own (tests/roots/root.sh), which has a newer GStreamer with
                 all contestants. Needs root or sudo
  --output DIR   for the results; default build-bench/results, with --debian13
                 build-bench/results-debian13
  --no-install   install nothing
  -h, --help

BENCH OPTION: --rounds N, --add, --report, --length X, --figures GROUP, --size SIZE,
--contestant NAME; see tests/bench/README.md.
END
}
set -eu
cd "$(dirname "$0")/../.."
. tests/support/packages.sh

needed=(
  g++ meson ninja-build pkg-config python3
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
  gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-bad
)
# Without these PipeWire, the system calls, the instructions or the chart are missing.
wanted=(gstreamer1.0-pipewire pipewire wireplumber dbus-daemon strace valgrind python3-matplotlib)

here() {
  [ "$install" = 0 ] || install_packages "${needed[@]}" "${wanted[@]}"
  [ -f build-bench/build.ninja ] ||
    meson setup build-bench -Dbuildtype=release -Dexamples=disabled -Dwarning_level=0 >/dev/null
  ninja -C build-bench --quiet gst/possum/libgstpossum.so \
    tests/bench/bench-{producer,consumer,limits,instructions}
  # A python3 that comes first may know nothing of what is packaged.
  local python=/usr/bin/python3
  [ -x "$python" ] || python=python3
  GST_PLUGIN_PATH=$PWD/build-bench/gst/possum GST_REGISTRY=$PWD/build-bench/registry.bin \
    "$python" -B tests/bench/bench.py --programs build-bench/tests/bench \
    --output "${output:-build-bench/results}" "${options[@]}"
}

# Not in the root of the tests, for which the contestants' daemons and plugins would be a change.
# What was measured comes out however the run ends.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/possum-bench
debian13() {
  [ "$install" = 0 ] || install_packages debootstrap
  output=${output:-build-bench/results-debian13}
  mkdir -p "$output"
  trap 'cp "$cache/possum-roots/trixie$PWD/build-bench/results/"* "$output"' EXIT
  as_root env XDG_CACHE_HOME="$cache" tests/roots/root.sh --suite trixie --shm 8g \
    tests/bench/run.sh "${options[@]}"
}

place=here install=1 output='' options=()
while [ $# -gt 0 ]; do
  case $1 in
    --debian13) place=debian13 ;;
    --no-install) install=0 ;;
    --output)
      [ $# -ge 2 ] || { usage >&2; exit 2; }
      output=$2
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) options+=("$1") ;;
  esac
  shift
done
"$place"
