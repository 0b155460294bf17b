#!/bin/bash
# Measures possum beside its neighbours, on a fresh Debian 12 or Ubuntu too.
usage() {
  cat <<'END'
usage: tests/bench/run.sh [OPTION...] [BENCH OPTION...]

Installs the packages that are missing (apt, with sudo unless root), builds in build-bench/,
measures, prints a table, and writes bench.json, bench.md and bench.svg. Two hours of an
otherwise idle machine, in 5 rounds; --quick: half an hour, in 3.

  --quick        fewer sizes, shorter runs
  --debian13     in a Debian 13 root, which has a newer GStreamer with all contestants. It is
                 made at the first time (debootstrap, from the mirror of this machine's apt)
                 and kept. Needs root or sudo
  --root DIR     where that root is; default ${XDG_CACHE_HOME:-~/.cache}/possum/debian13
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

# The first mirror in this machine's apt sources that has all of Debian.
mirror() {
  apt-get indextargets --format '$(REPO_URI)' \
    'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1
}

# A root is there as a whole or not at all.
make_root() {
  [ ! -e "$root/etc/debian_version" ] || return 0
  install_packages debootstrap
  local from
  from=$(mirror)
  [ -n "$from" ] || { echo 'no Debian mirror in the apt sources of this machine' >&2; exit 1; }
  echo "== making a Debian 13 root in $root"
  mkdir -p "$(dirname "$root")"
  as_root rm -rf "$root.new"
  # debootstrap mounts /proc there and may be interrupted.
  as_root unshare --mount --propagation private \
    debootstrap --variant=minbase --include=ca-certificates trixie "$root.new" "$from" \
    >"$root.log" || { tail "$root.log" >&2; exit 1; }
  as_root mv "$root.new" "$root"
}

# The mounts live in a namespace of their own, and all processes in another: both are gone
# when this ends, however it ends.
debian13() {
  make_root
  as_root mkdir -p "$root/possum"
  as_root find "$root/possum" -mindepth 1 -maxdepth 1 ! -name 'build*' -exec rm -rf {} +
  tar -c --exclude='./build*' --exclude=./.git . | as_root tar -x --no-same-owner -C "$root/possum"
  [ ! -e /etc/resolv.conf ] || as_root cp -L /etc/resolv.conf "$root/etc/resolv.conf"
  output=${output:-build-bench/results-debian13}
  mkdir -p "$output"
  as_root mkdir -p "$root/output"
  local status=0
  as_root unshare --mount --pid --fork --kill-child --propagation private \
    bash -c '
      set -eu
      root=$1 output=$2
      shift 2
      mount -t proc proc "$root/proc"
      mount --bind /dev "$root/dev"
      mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
      mount --bind "$output" "$root/output"
      exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root LC_ALL=C.UTF-8 \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        /possum/tests/bench/run.sh --output /output "$@"
    ' - "$root" "$(realpath "$output")" "${inner[@]}" "${options[@]}" || status=$?
  return "$status"
}

place=here install=1 output='' options=() inner=()
root=${XDG_CACHE_HOME:-$HOME/.cache}/possum/debian13
while [ $# -gt 0 ]; do
  case $1 in
    --debian13) place=debian13 ;;
    --no-install) install=0 inner+=("$1") ;;
    --output | --root)
      [ $# -ge 2 ] || { usage >&2; exit 2; }
      [ "$1" = --root ] && root=$(realpath -m "$2") || output=$2
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) options+=("$1") ;;
  esac
  shift
done
"$place"
