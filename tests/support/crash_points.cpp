// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "support/crash_points.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace possum::crash {
namespace {

constinit Point* all = nullptr;

struct Order {
  int signal = 0;
  const Point* point = nullptr;
  unsigned nth = 0;
};

// Given before the threads start that pass the points.
std::vector<Order>& orders() {
  static std::vector<Order> list;
  return list;
}

void obey(const Order& order) {
  if (order.signal == SIGSTOP) {
    const std::string line = "held " + std::string(order.point->name) + "\n";
    if (write(STDOUT_FILENO, line.data(), line.size()) < 0) return;
  }
  raise(order.signal);
}

}  // namespace

Point::Point(const char* point_name) : name(point_name), next(std::exchange(all, this)) {}

void Point::pass() {
  const unsigned nth = passed.fetch_add(1, std::memory_order_relaxed) + 1;
  for (const Order& order : orders()) {
    if (order.point != this || order.nth != nth) continue;
    const int kept = errno;
    obey(order);
    errno = kept;
  }
}

std::vector<const Point*> points() {
  std::vector<const Point*> list;
  for (const Point* point = all; point != nullptr; point = point->next) {
    list.push_back(point);
  }
  std::sort(list.begin(), list.end(), [](const Point* a, const Point* b) {
    return std::strcmp(a->name, b->name) < 0;
  });
  return list;
}

void raise_at(int signal, const std::string& name, unsigned nth) {
  for (const Point* point : points()) {
    if (point->name == name) orders().push_back({signal, point, nth});
  }
}

}  // namespace possum::crash
