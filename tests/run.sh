#!/bin/bash
# Builds possum and runs its tests, on a fresh Debian 12 or Ubuntu too.
usage() {
  cat <<'END'
usage: tests/run.sh [OPTION...] [TEST|SUITE...]

Installs the packages that are missing (apt, with sudo unless root), builds in build-test/
with warnings as errors, runs the tests, and ends with "N passed, N failed, N skipped".
Fails if anything failed. TEST and SUITE are names as `meson test --list` shows them.

  --sanitize      build in build-sanitize/ with address and undefined behaviour
                  sanitizers and leak check, run there instead
  --race          build the transport's tests in build-tsan/ with ThreadSanitizer, run
                  there instead
  --valgrind      run under Valgrind instead
  --fuzz          build in build-fuzz/ with clang, which checks the locking as well, and let
                  each fuzz target make up lies for 8 seconds (or those of --soak) instead
  --cross         build the transport for 64-bit ARM in build-aarch64/ and run its tests
                  under qemu-user instead
  --elsewhere     run --portable in a Debian 12 as an ordinary user and in a Debian 13, and
                  what wants rights or memory in a container: tests/roots/root.sh
  --sid           run --portable in Debian's sid
  --all           everything: a plain run, a build without GStreamer, a sanitized run
                  without the slowest tests, --race, --fuzz, --cross, --elsewhere
  --portable      without the slowest tests, the camera and what no machine changes: memory
                  orders, the model, the source
  --soak SECONDS  let the long tests run so long (POSSUM_SOAK_SECONDS)
  --no-install    install nothing
  --only-install  install what is missing, and end
  -h, --help
END
}
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/support/packages.sh

passed=0 failed=0 skipped=0 reasons=() failures=()
say() { echo "== $*"; }
fault() {
  echo "FAILED: $*" >&2
  failed=$((failed + 1))
  failures+=("$*")
}
# The end tells what failed once more: of an hour's log it is what is read, or kept.
finish() {
  [ ${#reasons[@]} -eq 0 ] || printf 'skipped in %s\n' "${reasons[@]}"
  [ ${#failures[@]} -eq 0 ] || printf 'failed: %s\n' "${failures[@]}"
  echo "$passed passed, $failed failed, $skipped skipped"
  exit $((failed > 0))
}

# Packages that the build and the tests cannot do without.
needed=(
  g++ meson ninja-build pkg-config
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libopencv-dev nlohmann-json3-dev
  gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
  gstreamer1.0-x gstreamer1.0-plugins-base-apps xvfb imagemagick
)
# Packages without which single tests are skipped: the camera, the source's format, fuzzing,
# a peer with another C library, the memory orders, the examples in Python and on a network,
# the benchmark's chart, what another shell completes.
wanted=(
  qemu-system-x86 kmod xz-utils v4l-utils clang-format-14
  clang-14 libclang-rt-14-dev musl-tools relacy-dev
  python3-gi python3-numpy python3-opencv python3-matplotlib gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0
  python3-pip python3-setuptools python3-wheel gir1.2-gst-rtsp-server-1.0 iproute2 fish
)

# build DIRECTORY [MESON OPTION...] [-- TARGET...]
build() {
  local dir=$1 options=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift $(($# > 0))
  say "building in $dir/"
  local output
  if [ ! -f "$dir/build.ninja" ] &&
    ! output=$(meson setup "$dir" --werror -Dauto_features=enabled "${options[@]}" 2>&1); then
    echo "$output"
    fault "meson setup $dir"
    return 1
  fi
  ninja -C "$dir" --quiet "$@" || { fault "the build in $dir/"; return 1; }
}

# Adds the results in a testlog.json, one JSON object a line, to the three sums, what the
# tests say they skipped to the reasons, and what failed, with its last lines, to the failures.
# A test that skips only a part of itself says so, too.
count() {
  local sums
  sums=$(python3 - "$1" <<'END'
import collections, json, re, sys
results, reasons, failures = collections.Counter(), collections.Counter(), []
for line in open(sys.argv[1]):
    test = json.loads(line)
    results[test["result"]] += 1
    said = (test.get("stdout", "") + "\n" + test.get("stderr", "")).strip().splitlines()
    why = [line for line in said if line.startswith("SKIPPED")]
    why += re.findall(r"\.\.\. skipped ['\"](.*)['\"]$", "\n".join(said), re.M)
    name = test["name"].split(" / ")[-1]
    if test["result"] not in ("OK", "SKIP", "EXPECTEDFAIL"):
        failures.append(f"{name} ({sys.argv[1].split('/')[0]}): {test['result']}")
        # What went wrong, rather than what went well before and after it.
        telling = [line for line in said if re.search("(?i)fail|error|: [FE]:", line)
                   and not line.startswith("ok ")] or said
        failures += [f"{name}: {line[:200]}" for line in telling[-8:]]
    if test["result"] == "SKIP" and not why:
        why = said[-1:] or ["it does not say why"]
    for line in why:
        # "SKIPPED case: reason" or "SKIPPED: reason": the cases of one reason are counted.
        reason = re.sub(r"^SKIPPED( [a-z0-9_]+)?: *", "", line)
        reasons[(name, reason)] += 1
skipped, passed = results["SKIP"], results["OK"] + results["EXPECTEDFAIL"]
print(passed, results.total() - passed - skipped, skipped)
for (name, reason), times in sorted(reasons.items()):
    print(f"skipped {name}: {reason}" + (f" ({times} cases)" if times > 1 else ""))
for line in failures:
    print("failed", line)
END
  ) || { fault "no test log $1"; return; }
  local p f s kind line
  {
    read -r p f s
    while read -r kind line; do
      case $kind in
        skipped) reasons+=("$line") ;;
        failed) failures+=("$line") ;;
      esac
    done
  } <<<"$sums"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}
# skip COUNT REASON: so many tests
skip() {
  skipped=$((skipped + $1))
  reasons+=("$2")
}

# selected DIRECTORY: the names of the tests that the command line asks for.
selected() {
  meson test -C "$1" --no-rebuild --list 2>/dev/null |
    awk -v wanted="${names[*]}" '
      BEGIN { n = split(wanted, list, " "); for (i = 1; i <= n; ++i) want[list[i]] = 1 }
      / \/ / { suite = $1; gsub(/.*:|\+.*/, "", suite); if ((suite in want || $3 in want) && !seen[$3]++) print $3 }'
}

# run_tests DIRECTORY [MESON TEST OPTION...]
run_tests() {
  local dir=$1 log=$1/meson-logs/testlog.json chosen=()
  shift
  [[ " $* " != *" --setup "* ]] || log=$dir/meson-logs/testlog-valgrind.json
  if [ ${#names[@]} -gt 0 ]; then
    mapfile -t chosen < <(selected "$dir")
    [ ${#chosen[@]} -gt 0 ] || { fault "no test is called ${names[*]}"; return; }
  fi
  rm -f "$log"
  local status=0
  meson test -C "$dir" --no-rebuild --print-errorlogs \
    --timeout-multiplier "$CK_TIMEOUT_MULTIPLIER" "$@" "${chosen[@]}" || status=$?
  local before=$failed
  count "$log"
  [ "$status" -eq 0 ] || [ "$failed" -gt "$before" ] || fault "meson test in $dir/"
}

plain() {
  say 'plain build, all tests'
  build build-test || return
  run_tests build-test "${but[@]}"
}
# What needs no GStreamer is there without it. Its other tests are those of the plain run.
bare() {
  [ ${#names[@]} -eq 0 ] || return 0
  say 'build without GStreamer: one channel, and the command'
  build build-bare -Dtransport-only=true || return
  local names=(channel tools)
  run_tests build-bare
}
# The sanitizers make everything about three times as slow, and so does optimizing what they
# add to the code.
sanitized() {
  say 'build with address and undefined behaviour sanitizers, all tests'
  build build-sanitize -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false || return
  local but=(--no-suite source)
  [ ${#runs[@]} -eq 1 ] || but+=(--no-suite slow)
  CK_TIMEOUT_MULTIPLIER=$((CK_TIMEOUT_MULTIPLIER * 3)) run_tests build-sanitize "${but[@]}"
}
# Only the transport: GLib and GStreamer are not built for it and would drown everything.
# -fno-builtin: the compiler would turn small copies into accesses that are not seen.
race() {
  local tests=(races writer_reader doorbell) name
  say "transport with ThreadSanitizer: ${tests[*]}"
  if [ ${#names[@]} -gt 0 ]; then  # those that were asked for, if any
    local chosen=()
    for name in "${tests[@]}"; do
      [[ " ${names[*]} " != *" $name "* && " ${names[*]} " != *' transport '* ]] ||
        chosen+=("$name")
    done
    [ ${#chosen[@]} -gt 0 ] || return 0
    tests=("${chosen[@]}")
  fi
  build build-tsan -Db_sanitize=thread -Db_lundef=false -Dcpp_args='-fno-builtin -Wno-tsan' -- \
    "${tests[@]/#/tests/transport-}" || return
  # Its memory map has to suit the kernel's: more random bits than it knows end it at once.
  local runtime
  if ! runtime=$(build-tsan/tests/transport-doorbell sem_image_is_repeatable_and_knows_the_value 2>&1); then
    skip ${#tests[@]} "race: ThreadSanitizer does not run here: ${runtime##*$'\n'}"
    return
  fi
  local names=("${tests[@]}")
  CK_TIMEOUT_MULTIPLIER=$((CK_TIMEOUT_MULTIPLIER * 5)) run_tests build-tsan
}
valgrind() {
  say 'plain build, all tests under Valgrind'
  build build-test || return
  CK_TIMEOUT_MULTIPLIER=$((CK_TIMEOUT_MULTIPLIER * 10)) \
    run_tests build-test --setup valgrind --no-suite source
}

# Clang's fuzzer with both sanitizers, on the targets of tests/fuzz alone. All that is installed
# is built, too: of all builds only clang's checks the locking (gst/base/mutex.h).
fuzz() {
  # All of them or, where other tests were named, none.
  [ ${#names[@]} -eq 0 ] || return
  say 'everything and the fuzz targets with clang, address and undefined behaviour sanitizers'
  local cxx=clang++-14
  command -v ccache >/dev/null && cxx="ccache $cxx"
  if ! command -v clang++-14 >/dev/null; then
    skip 1 'fuzz: clang++-14 is missing'
    return
  fi
  CXX=$cxx build build-fuzz -Dfuzz=true -Dtests=disabled -Dexamples=disabled \
    -Db_sanitize=address,undefined -Db_lundef=false || return
  CK_TIMEOUT_MULTIPLIER=$((CK_TIMEOUT_MULTIPLIER * 4)) run_tests build-fuzz
}

# Shows layout and ABI, not weak ordering: the emulator orders like its host.
cross_packages=(g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)
cross() {
  say 'transport for 64-bit ARM, its tests under qemu-user'
  local tool
  for tool in aarch64-linux-gnu-g++ qemu-aarch64; do
    if ! command -v "$tool" >/dev/null; then
      skip 1 "cross: there is no $tool (${cross_packages[*]})"
      return
    fi
  done
  # ccache knows compilers by the names in its directory.
  PATH=/usr/lib/ccache:$PATH build build-aarch64 -Dtransport-only=true -Dtools=disabled --cross-file tests/support/aarch64.cross || return
  [ ${#names[@]} -eq 0 ] || [ -n "$(selected build-aarch64)" ] || return 0
  local but=(--no-suite source)
  [ ${#runs[@]} -eq 1 ] || but+=(--no-suite slow)
  CK_TIMEOUT_MULTIPLIER=$((CK_TIMEOUT_MULTIPLIER * 3)) run_tests build-aarch64 "${but[@]}"
}

root_packages=(debootstrap)
# What may come out otherwise there: other users, fewer rights, a small /dev/shm, another
# GStreamer. A container is tried with the tests that want rights, users or memory.
elsewhere() {
  local tests=(--portable "${names[@]}")
  in_root 'Debian 12, an ordinary user' --as user tests/run.sh "${tests[@]}"
  [ ${#names[@]} -gt 0 ] ||
    in_root 'Debian 12, a container' --container tests/run.sh --no-install cleaning commands \
      callbacks containers embed errors observer permissions screen shm_full theft users
  in_root 'Debian 13' --suite trixie tests/run.sh "${tests[@]}"
}
sid() { in_root "Debian's sid" --suite sid tests/run.sh --portable "${names[@]}"; }

# in_root TITLE ARGUMENT... of tests/roots/root.sh: adds what the run there says at its end
in_root() {
  local title=$1 log line
  shift
  say "$title"
  log=$(mktemp)
  tests/roots/root.sh "$@" 2>&1 | tee "$log"
  line=$(tail -n 1 "$log")
  if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
    passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
    skipped=$((skipped + BASH_REMATCH[3]))
    while read -r line; do
      reasons+=("$title, ${line#skipped in }")
    done < <(grep '^skipped in ' "$log")
    while read -r line; do
      failures+=("$title, ${line#failed: }")
    done < <(grep '^failed: ' "$log")
  elif [[ $line =~ ^SKIPPED:\ (.*) ]]; then
    skip 1 "$title: ${BASH_REMATCH[1]}"
  else
    fault "$title: it did not end in order"
  fi
  rm -f "$log"
}

# Names of channels (see gst/transport/PROTOCOL.md) that no living process has mapped.
dead_names() {
  comm -23 \
    <(find /dev/shm -maxdepth 1 -name 'possum-*' | sort) \
    <(cat /proc/[0-9]*/maps 2>/dev/null | grep -o '/dev/shm/possum-[^ ]*' | sort -u)
}
check_shm() {
  local left
  left=$(comm -13 <(echo "$dead_before") <(dead_names))
  [ -z "$left" ] || fault "left behind:" $left
}

runs=() names=() but=() install=1 only_install=0
export CK_TIMEOUT_MULTIPLIER=1
while [ $# -gt 0 ]; do
  case $1 in
    --sanitize) runs=(sanitized) ;;
    --race) runs=(race) ;;
    --valgrind) runs=(valgrind) wanted+=(valgrind) ;;
    --fuzz) runs=(fuzz) ;;
    --cross) runs=(cross) wanted+=("${cross_packages[@]}") ;;
    --elsewhere) runs=(elsewhere) wanted+=("${root_packages[@]}") ;;
    --sid) runs=(sid) wanted+=("${root_packages[@]}") ;;
    --portable) but=(--no-suite slow --no-suite camera --no-suite model --no-suite source) ;;
    --all)
      runs=(plain bare sanitized race fuzz cross elsewhere)
      wanted+=("${cross_packages[@]}" "${root_packages[@]}")
      ;;
    --soak)
      shift
      [[ ${1:-} =~ ^[1-9][0-9]*$ ]] || { usage >&2; exit 2; }
      export POSSUM_SOAK_SECONDS=$1
      CK_TIMEOUT_MULTIPLIER=$((1 + $1 / 30))
      ;;
    --no-install) install=0 ;;
    --only-install) only_install=1 ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; exit 2 ;;
    *) names+=("$1") ;;
  esac
  shift
done
[ ${#runs[@]} -gt 0 ] || runs=(plain)

trap finish EXIT
trap 'fault interrupted; exit' INT TERM
# What is wanted costs tests, not the run, where nobody may install it.
want_packages() {
  install_packages "$@" && return
  if may_install; then fault 'packages are missing'; else say 'going on without them'; fi
}
if [ "$install" = 1 ]; then
  if may_install; then
    want_packages "${needed[@]}" "${wanted[@]}" # together: calls of apt take long
  else
    install_packages "${needed[@]}" || fault 'packages are missing'
    want_packages "${wanted[@]}"
  fi
  # For a 32-bit peer. Not g++-multilib: it drives out the compilers for other machines.
  [ "$(uname -m)" != x86_64 ] || want_packages "g++-$(g++ -dumpversion)-multilib"
fi
[ "$only_install" = 0 ] || { trap - EXIT; exit $((failed > 0)); }
dead_before=$(dead_names)
for run in "${runs[@]}"; do "$run"; done
check_shm
