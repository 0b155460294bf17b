#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# Other machines than this one: a Debian of another release, another user, fewer rights,
# a small /dev/shm. See usage() below.
set -euo pipefail

usage() {
  cat <<'END'
usage: tests/roots/root.sh [OPTION...] [COMMAND...]

Runs COMMAND (tests/run.sh) on a copy of this source tree in a root directory of its own,
which debootstrap makes if it is not there. Needs root. Exits with the command's status, or
with 77 and a sentence where there can be no such root.

  --suite NAME   bookworm (Debian 12, the default), trixie (Debian 13) or sid
  --as WHO       root (default); user, an ordinary one where everything is installed; or
                 sudoer, one who may do by sudo what root does
  --container    as in a container: the capabilities that Docker leaves to root, no new
                 namespaces, 64 MiB of /dev/shm
  --shm SIZE     of /dev/shm, as tmpfs takes it (default 2g)
  --fresh        make the root anew, with nothing installed but git and apt
  -h, --help

Roots and packages stay in ${XDG_CACHE_HOME:-$HOME/.cache}/possum-roots, about 4 GB each; the
folder may be deleted at any time. Packages come from where this machine's apt has its own.
END
}
unavailable() {
  echo "SKIPPED: no root of Debian's $suite: $*"
  exit 77
}

all=("$@") suite=bookworm who=root shm='' fresh=0 container=0 capabilities=''
while [ $# -gt 0 ]; do
  case $1 in
    --suite | --as | --shm)
      [ $# -gt 1 ] || { usage >&2; exit 2; }
      case $1 in
        --suite) suite=$2 ;;
        --as) who=$2 ;;
        --shm) shm=$2 ;;
      esac
      shift
      ;;
    --container)
      container=1
      capabilities=-all,+chown,+dac_override,+fsetid,+fowner,+mknod,+net_raw,+setgid,+setuid,+setfcap,+setpcap,+net_bind_service,+sys_chroot,+kill,+audit_write
      ;;
    --fresh) fresh=1 ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) break ;;
  esac
  shift
done
[[ $suite =~ ^(bookworm|trixie|sid)$ && $who =~ ^(root|user|sudoer)$ ]] || { usage >&2; exit 2; }
[ -n "$shm" ] || { [ $container -eq 1 ] && shm=64m || shm=2g; }
[ $# -gt 0 ] || set -- tests/run.sh

# In the root the tree is where it is outside, so that what ccache knows is of use there.
tree=$(cd "$(dirname "$0")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/possum-roots
root=$cache/$suite
packages=$cache/$suite.packages # of each release its own: apt locks them
readonly user=tester uid=1000

[ "$(id -u)" -eq 0 ] || unavailable 'only root can make one'
for need in debootstrap apt-get unshare pivot_root setpriv tar; do
  command -v "$need" >/dev/null || unavailable "there is no $need"
done
# Mounts and processes of this script's own, of which nothing is left whatever happens.
if [ -z "${POSSUM_ROOT_ALONE:-}" ]; then
  alone=(unshare --mount --pid --fork --kill-child)
  "${alone[@]}" true 2>/dev/null || unavailable 'the kernel refuses mounts of its own'
  POSSUM_ROOT_ALONE=1 exec "${alone[@]}" "$0" "${all[@]}"
fi

# --- the root itself -------------------------------------------------------------------

# Where apt has the main archive from, whatever release it is set to.
mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' \
    'Component: main' 2>/dev/null | head -n 1
}

# run_in_root COMMAND...: as root and with all rights, before the command itself
run_in_root() {
  chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" "$@"
}

make_root() {
  local from
  from=$(mirror)
  [ -n "$from" ] || unavailable "this machine's apt knows no archive of Debian"
  rm -rf "$root" "$root.new"
  echo "== making a root of Debian's $suite"
  debootstrap --variant=minbase --cache-dir="$packages" --include=git,ca-certificates \
    "$suite" "$root.new" "$from" >"$cache/$suite.log" 2>&1 || {
    tail -n 3 "$cache/$suite.log"
    unavailable 'debootstrap failed'
  }
  # It is thrown away sooner than it is lost.
  echo force-unsafe-io >"$root.new/etc/dpkg/dpkg.cfg.d/unsafe-io"
  apt-config dump Acquire | grep -i proxy >"$root.new/etc/apt/apt.conf.d/proxy" || true
  # The lists of sid are good for a week, and a mirror may be behind.
  [ "$suite" != sid ] ||
    echo 'Acquire::Check-Valid-Until "false";' >"$root.new/etc/apt/apt.conf.d/valid-until"
  printf '#!/bin/sh\nexit 101\n' >"$root.new/usr/sbin/policy-rc.d" # starts no services
  chmod 755 "$root.new/usr/sbin/policy-rc.d"
  chroot "$root.new" useradd --create-home --uid $uid --shell /bin/bash $user
  mv "$root.new" "$root"
}

mount_root() {
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t tmpfs -o mode=755 dev "$root/dev"
  local node
  for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
  done
  mkdir "$root/dev/pts" "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
  mount -t tmpfs -o "mode=1777,size=$shm" shm "$root/dev/shm"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  ln -s fd/0 "$root/dev/stdin"
  ln -s fd/1 "$root/dev/stdout"
  ln -s fd/2 "$root/dev/stderr"
  mount -t tmpfs -o mode=1777 tmp "$root/tmp"
  mkdir -m 1777 "$root/tmp/.X11-unix" # as systemd makes it: X servers of users need it
  mount -t tmpfs -o mode=755 run "$root/run"
  mount --bind "$packages" "$root/var/cache/apt/archives"
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
}

# What the compiler has done before, here or there. Who is not root only reads it.
share_ccache() {
  ccache=()
  command -v ccache >/dev/null || return 0
  run_in_root sh -c 'command -v ccache >/dev/null || apt-get -qq install -y ccache >/dev/null' ||
    return 0
  mkdir -p "$root/var/cache/ccache"
  mount --bind "$(ccache --get-config cache_dir)" "$root/var/cache/ccache"
  ccache=(CCACHE_DIR=/var/cache/ccache CCACHE_BASEDIR="$(ccache --get-config base_dir)"
    CCACHE_COMPILERCHECK="$(ccache --get-config compiler_check)")
  [ "$(ccache --get-config hash_dir)" = true ] || ccache+=(CCACHE_NOHASHDIR=1)
  [ "$who" = root ] || ccache+=(CCACHE_READONLY=1 CCACHE_TEMPDIR=/tmp)
}

# Its sources, also of a checkout that somebody else made, or of no checkout.
list_tree() {
  cd "$tree" || return
  if git -c safe.directory="$tree" rev-parse HEAD >/dev/null 2>&1; then
    git -c safe.directory="$tree" ls-files -z --cached --others --exclude-standard
  else
    find . -path './build*' -prune -o ! -type d -print0
  fi
}
# Files keep their times: what was built of them in an earlier run is built.
copy_tree() {
  local copy=$root$tree owner=root
  [ "$who" = root ] || owner=$user
  mkdir -p "$copy"
  find "$copy" -mindepth 1 -maxdepth 1 ! -name 'build*' -exec rm -rf {} +
  list_tree | tar -C "$tree" --null --files-from=- --ignore-failed-read -cf - 2>/dev/null |
    tar -C "$copy" -xf -
  run_in_root chown -R "$owner:" "$tree"
}

mkdir -p "$packages/partial"
exec {lock}>"$cache/$suite.lock"
flock $lock
[ $fresh -eq 0 ] || rm -rf "$root"
[ -d "$root" ] || make_root
mount_root
copy_tree
if [ $fresh -eq 0 ]; then
  if [ -n "$(find "$root/var/lib/apt/lists" -maxdepth 0 -mtime +7)" ]; then
    run_in_root apt-get -qq update
    run_in_root apt-get -qq upgrade -y >/dev/null
  fi
  share_ccache
  run_in_root "$tree/tests/run.sh" --all --only-install || unavailable 'packages are missing'
fi
if [ "$who" = sudoer ]; then
  run_in_root sh -c 'command -v sudo >/dev/null || apt-get -qq install -y sudo >/dev/null'
  echo "$user ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/$user"
else
  rm -f "$root/etc/sudoers.d/$user"
fi

# --- the command in it -----------------------------------------------------------------

home=/root
[ "$who" = root ] || home=/home/$user
rights=()
[ -z "$capabilities" ] || rights+=(--bounding-set="$capabilities" --inh-caps=-all)
[ "$who" = root ] || rights+=(--reuid="$uid" --regid="$uid" --init-groups)
become=(env -i HOME="$home" USER="${home##*/}" PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
  LANG=C.UTF-8 TERM="${TERM:-dumb}" http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}"
  "${ccache[@]}" setpriv "${rights[@]}" bash -c 'cd "$0" && exec "$@"' "$tree")
echo "== Debian's $suite, as $who${capabilities:+, capabilities $capabilities}, $shm of /dev/shm: $*"
# A process in a chroot gets no namespaces of its own, as in a container.
if [ $container -eq 1 ]; then
  chroot "$root" "${become[@]}" "$@"
else
  cd "$root"
  pivot_root . mnt
  umount -l /mnt
  cd /
  "${become[@]}" "$@"
fi
