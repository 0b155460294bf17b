// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What a process has used of the machine between two moments, and JSON on one line for
// whoever started it.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "stamp.h"

namespace bench {

struct Usage {
  std::int64_t wall_ns = 0;
  std::int64_t cpu_ns = 0;  // user + system
  std::int64_t faults = 0;
  std::int64_t sleeps = 0;  // voluntary context switches

  static Usage now() {
    rusage r{};
    getrusage(RUSAGE_SELF, &r);
    // The kernel's own sum; getrusage() splits it into user and system by guesses.
    timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return {now_ns(), cpu.tv_sec * 1'000'000'000 + cpu.tv_nsec, r.ru_minflt, r.ru_nvcsw};
  }
  Usage operator-(const Usage& o) const {
    return {wall_ns - o.wall_ns, cpu_ns - o.cpu_ns, faults - o.faults, sleeps - o.sleeps};
  }
};

// A field in KiB of a file such as /proc/self/status; 0 if it is not there.
inline double kib(const char* path, const std::string& field) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    double value = 0;
    if (word == field && file >> value) return value;
  }
  return 0;
}

// Durations in nanoseconds: the first of them, in memory that is there before the first
// frame, so that the benchmark's own page faults do not count.
class Samples {
 public:
  Samples() : ns_(kMost) {}
  void add(std::int64_t ns) {
    if (count_ < kMost) ns_[count_++] = ns;
  }
  // Nondecreasing.
  std::span<const std::int64_t> sorted() {
    std::sort(ns_.begin(), ns_.begin() + static_cast<std::ptrdiff_t>(count_));
    return {ns_.data(), count_};
  }

 private:
  static constexpr std::size_t kMost = 1 << 14;
  std::vector<std::int64_t> ns_;
  std::size_t count_ = 0;
};

class Report {
 public:
  void add(const char* name, double value) {
    char text[64];
    std::snprintf(text, sizeof text, "%s\"%s\": %.9g", text_.empty() ? "" : ", ", name,
                  value);
    text_ += text;
  }
  void add(const Usage& used, double frames) {
    add("frames", frames);
    add("seconds", static_cast<double>(used.wall_ns) / 1e9);
    add("cpu_us_per_frame", static_cast<double>(used.cpu_ns) / 1e3 / frames);
    add("faults_per_frame", static_cast<double>(used.faults) / frames);
    add("sleeps_per_frame", static_cast<double>(used.sleeps) / frames);
  }
  // This process's own memory, and its part of what it shares: a page that two processes
  // have mapped counts half in each.
  void add_memory() {
    add("own_kib", kib("/proc/self/smaps_rollup", "Pss_Anon:"));
    add("shared_kib", kib("/proc/self/smaps_rollup", "Pss_Shmem:"));
  }
  // Percentiles in microseconds.
  void add_latency(Samples& samples) {
    const auto ns = samples.sorted();
    if (ns.empty()) return;
    const auto at = [&](double part) {
      const auto last = static_cast<double>(ns.size() - 1);
      return static_cast<double>(ns[static_cast<std::size_t>(part * last)]) / 1e3;
    };
    add("latency_p50_us", at(0.5));
    add("latency_p90_us", at(0.9));
    add("latency_p99_us", at(0.99));
    add("latency_max_us", at(1.0));
  }
  std::string text() const { return "{" + text_ + "}"; }
  void print() const {
    std::printf("%s\n", text().c_str());
    std::fflush(stdout);
  }

 private:
  std::string text_;
};

}  // namespace bench
