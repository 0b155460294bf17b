#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
#
# installed.sh SOURCE_ROOT BUILD_ROOT [PYTHON]: libpossum as a program finds it once installed. The
# headers compile by the strictest rules, the library exports what they declare and needs
# nothing of GStreamer, and the programs in its README do what that says. So does the package
# for Python: from the directory where that looks, and as pip installs it.
set -euo pipefail
readme=$1/gst/libpossum/README.md
build=$2
python=${3-}
channel=t$$.
channels=(cam edges)

. "${BASH_SOURCE%/*}/../support/script.sh"

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
[ "$(wc -l <"$work/declared")" -ge 40 ] || fail "few functions are declared"
readelf -d "$library" >"$work/dynamic"
grep -q 'SONAME.*\[libpossum\.so\.1\]' "$work/dynamic" || fail "soname"
if grep -E 'NEEDED.*(gst|glib|gobject)' "$work/dynamic"; then fail "GStreamer is needed"; fi

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

# watched NAME WRITER...: by the reader of the README, whose lines are in NAME.reader.log
watched() {
  start "$1.writer" "${@:2}"
  start "$1.reader" "$work/reader"
  ended "$1.reader" 0
  ended "$1.writer" 0
}
# frames NAME COUNT: it saw so many
frames() { [ "$(grep -c '^frame ' "$work/$1.reader.log")" -eq "$2" ] || fail "$1: not $2 frames"; }

watched whole "$work/writer"
frames whole 100
said whole.reader.log '^frame 100: video/x-raw, .*, 99 bright$'
said whole.reader.log 'said that this was all'

# --- writers that people copy, where every fourth picture finds no slot
cat >"$work/sparse.h" <<'END'
#include <possum.h>
static inline possum_status sparse_borrow(possum_writer* writer, size_t bytes,
                                          int64_t deadline_ns, possum_slot** slot) {
  static unsigned calls;
  *slot = NULL;
  return ++calls % 4 == 0 ? POSSUM_NO_SLOT
                          : possum_writer_borrow(writer, bytes, deadline_ns, slot);
}
#define possum_writer_borrow sparse_borrow
END
gcc -std=c99 -include "$work/sparse.h" "$work/writer.c" -o "$work/sparse" "${flags[@]}" "${libs[@]}"
watched sparse "$work/sparse"
frames sparse 75
gcc -std=gnu99 -include "$work/sparse.h" "$1/examples/c/writer.c" -o "$work/bar" "${flags[@]}" "${libs[@]}"
watched bar "$work/bar" t$$.cam 9

if pkg-config --exists opencv4; then
  read -ra opencv <<<"$(env -u PKG_CONFIG_SYSROOT_DIR -u PKG_CONFIG_ALLOW_SYSTEM_CFLAGS pkg-config --cflags opencv4)"
  g++ -std=c++17 -Wall -Wextra "$work/edges.cpp" -o "$work/edges" "${flags[@]}" "${opencv[@]}" \
    "${libs[@]}" -lopencv_core -lopencv_imgproc || fail "edges.cpp of the README"
  sed "s/t$$.cam/t$$.edges/" "$work/reader.c" >"$work/look.c"
  gcc -std=c99 "$work/look.c" -o "$work/look" "${flags[@]}" "${libs[@]}"
  start look "$work/look"
  start edges "$work/edges"
  start writer "$work/writer"
  for name in writer edges look; do ended $name 0; done
  said look.log '^frame 100: video/x-raw, .*, 0 bright$'
fi
# --- Python
hello='import possum, sys
with possum.Writer(sys.argv[1], dtype="u1", shape=3):
    print(possum.__file__, possum._library.lib._name)'
if [ -n "$python" ]; then
  site=$(find "$work/root" -path '*/possum/py.typed')
  site=${site%/possum/py.typed}
  prefix=${library#"$work/root"}
  prefix=${prefix%%/lib*}
  known=$("$python" -c 'import site; print(*site.getsitepackages(), sep="\n")')
  ! grep -q "^$prefix/lib" <<<"$known" || grep -qxF "${site#"$work/root"}" <<<"$known" ||
    fail "$python does not look for packages in ${site#"$work/root"}, but in $known"
  said=$(env -u POSSUM_LIBRARY -u LD_LIBRARY_PATH PYTHONPATH="$site" PYTHONDONTWRITEBYTECODE=1 \
    timeout 60 "$python" -c "$hello" t$$.cam) || fail "the installed package for Python"
  [ "$said" = "$site/possum/__init__.py $library" ] || fail "another package or library: $said"
  if "$python" -c 'from importlib.util import find_spec
assert find_spec("pip") and find_spec("setuptools") and find_spec("wheel")' 2>/dev/null; then
    cp -r "$1/gst/libpossum/python" "$work/source"
    "$python" -m pip install --quiet --no-index --no-build-isolation --no-deps --target "$work/pip" \
      "$work/source" >"$work/pip.log" 2>&1 || fail "pip install"
    diff -r -x __pycache__ "$site/possum" "$work/pip/possum" >"$work/pip.log" || fail "pip installs other files"
  else
    echo "pip is not tried: python3-pip, python3-setuptools or python3-wheel is missing"
  fi
fi
no_names
