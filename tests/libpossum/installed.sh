#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# installed.sh SOURCE_ROOT BUILD_ROOT [PYTHON]: libpossum as a program finds it once
# installed. The headers compile by the strictest rules, the library exports what they
# declare and needs nothing of GStreamer, the programs in its README do what that says, and
# PYTHON finds its package.
set -euo pipefail
readme=$1/gst/libpossum/README.md
build=$2
work=$(mktemp -d)
channels=(cam edges)

clean_up() {
  local status=$?
  # shellcheck disable=SC2046
  kill -KILL $(jobs -p) 2>/dev/null || true
  rm -rf "$work" /dev/shm/possum-[cd].t$$.*
  exit "$status"
}
trap clean_up EXIT
fail() {
  echo "FAILED: $*" >&2
  tail -n 20 "$work"/*.log >&2
  exit 1
}

meson install -C "$build" --no-rebuild --destdir "$work/root" --tags runtime,devel,python-runtime \
  >"$work/install.log" 2>&1 || fail "meson install"
pc=$(find "$work/root" -name possum-1.0.pc)
library=$(find "$work/root" -name libpossum.so.1)
[ -n "$pc" ] && [ -n "$library" ] || fail "library or possum-1.0.pc is not installed"
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$work/root
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
export LD_LIBRARY_PATH=${library%/*}
read -ra flags <<<"$(pkg-config --cflags possum-1.0)"
read -ra libs <<<"$(pkg-config --libs possum-1.0)"
[ "$(pkg-config --modversion possum-1.0)" = 1.0 ] || fail "version in possum-1.0.pc"

# --- headers
strict=(-pedantic -Wall -Wextra -Wconversion -Werror -fsyntax-only)
echo '#include <possum.h>' >"$work/c.c"
echo '#include <possum.hpp>' >"$work/cpp.cpp"
for compiler in gcc clang-14; do
  command -v "$compiler" >/dev/null || continue
  for standard in c99 c11 c17; do
    "$compiler" -std=$standard "${strict[@]}" "${flags[@]}" "$work/c.c" || fail "$compiler $standard"
  done
done
for compiler in g++ clang++-14; do
  command -v "$compiler" >/dev/null || continue
  "$compiler" -x c++ -std=c++98 -Wno-long-long -Wno-c++11-long-long -Wall -Wextra -Werror -fsyntax-only \
    "${flags[@]}" "$work/c.c" || fail "$compiler c++98"
  for standard in c++17 c++20; do
    "$compiler" -std=$standard "${strict[@]}" "${flags[@]}" "$work/cpp.cpp" || fail "$compiler $standard"
  done
done

# --- symbols
header=$(find "$work/root" -name possum.h)
gcc -E -P "${flags[@]}" "$header" | tr '\n' ' ' | grep -oE '\bpossum_[a-z_]+ ?\([^;{}]*\) ?;' |
  sed 's/ *(.*//' | sort -u >"$work/declared"
nm -D --defined-only "$library" | awk '$2 != "A" {print $3}' | sort -u >"$work/exported"
sed 's/$/@@POSSUM_1.0/' "$work/declared" | diff - "$work/exported" >"$work/symbols.log" ||
  fail "the library exports (>) other functions than possum.h declares (<)"
[ "$(wc -l <"$work/declared")" -ge 48 ] || fail "few functions are declared"
readelf -d "$library" >"$work/dynamic"
grep -q 'SONAME.*\[libpossum\.so\.1\]' "$work/dynamic" || fail "soname"
if grep -E 'NEEDED.*(gst|glib|gobject)' "$work/dynamic"; then fail "GStreamer is needed"; fi

# --- the package lies where Python looks, if that is below the prefix at all
package=$(cd "$work/root" && find . -path '*/possum/__init__.py')
if [ -n "${3-}" ] && [ -n "$package" ]; then
  site=${package#.}
  prefix=$(pkg-config --variable=prefix possum-1.0)
  "$3" -c '
import sys, sysconfig
site, prefix = sys.argv[1:]
sys.exit(site not in sys.path and sysconfig.get_path("purelib").startswith(prefix + "/"))
' "${site%/possum/__init__.py}" "${prefix#"$work/root"}" || fail "$3 does not look for possum in $site"
fi

# --- the programs in the README, on channels of their own
awk -v to="$work/" '
  /^```(c|cpp)$/ { getline first; match(first, /[a-z]+\.(c|cpp)/)
                   file = to substr(first, RSTART, RLENGTH); print first >file; next }
  /^```/ { file = "" }
  file != "" { print >file }' "$readme"
for name in "${channels[@]}"; do
  sed -i "s/\"$name\"/\"t$$.$name\"/" "$work"/*.c "$work"/*.cpp
done
for program in writer reader; do
  gcc -std=c99 -pedantic -Wall -Wextra -Werror "$work/$program.c" -o "$work/$program" \
    "${flags[@]}" "${libs[@]}" || fail "$program.c of the README"
done

"$work/writer" 2>"$work/writer.log" &
writer=$!
timeout 60 "$work/reader" >"$work/reader.log" || fail "the reader of the README"
wait $writer || fail "the writer of the README"
grep -qE '^frame 100: video/x-raw, .*, 99 bright$' "$work/reader.log" || fail "no last frame"
[ "$(grep -c '^frame ' "$work/reader.log")" -eq 100 ] || fail "frames are missing"
grep -q 'said that this was all' "$work/reader.log" || fail "no end"

if pkg-config --exists opencv4; then
  read -ra opencv <<<"$(env -u PKG_CONFIG_SYSROOT_DIR -u PKG_CONFIG_ALLOW_SYSTEM_CFLAGS pkg-config --cflags opencv4)"
  g++ -std=c++17 -Wall -Wextra "$work/edges.cpp" -o "$work/edges" "${flags[@]}" "${opencv[@]}" \
    "${libs[@]}" -lopencv_core -lopencv_imgproc || fail "edges.cpp of the README"
  sed "s/t$$.cam/t$$.edges/" "$work/reader.c" >"$work/look.c"
  gcc -std=c99 "$work/look.c" -o "$work/look" "${flags[@]}" "${libs[@]}"
  timeout 60 "$work/look" >"$work/look.log" &
  look=$!
  timeout 60 "$work/edges" 2>"$work/edges.log" &
  edges=$!
  "$work/writer" 2>"$work/writer.log" || fail "the writer of the README"
  wait $edges || fail "edges of the README"
  wait $look || fail "who looks at the edges"
  grep -qE '^frame 100: video/x-raw, .*, 0 bright$' "$work/look.log" || fail "no edges"
fi
if compgen -G "/dev/shm/possum-[cd].t$$.*" >/dev/null; then fail "names are left"; fi
