// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The smallest test runner that does: for tests of the transport, which need no GLib.
// Include it in exactly one source file of a program; it brings main().
//
//   TEST(name) { CHECK(2 + 2 == 4); }
//
// runs with all others, or alone by `program name`. TEST_F(Fixture, name) is one whose
// body finds the members of a Fixture, made for it. A failed CHECK says where and aborts
// the program, so what runs after it may rely on it, and children that fail show as
// killed by SIGABRT. Each test must leave as many descriptors open as it found, and no
// name of its own (see support/leftovers.h) in /dev/shm. check::skip(reason) inside a
// test ends it and makes the whole program count as skipped.
//
//   ROLE(name) { ... args ... }
//
// is what another process of the same program does: `program --role name args...`,
// with program() for what comes before. Its return value is the exit status.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "support/leftovers.h"

#define CHECK(condition)                                               \
  do {                                                                 \
    if (!(condition)) ::check::failed(__FILE__, __LINE__, #condition); \
  } while (false)

#define TEST(name)                                            \
  static void test_##name();                                  \
  [[maybe_unused]] static const bool registered_test_##name = \
      ::check::add(::check::tests(), {#name, &test_##name});  \
  static void test_##name()

#define TEST_F(fixture, name)                 \
  namespace {                                 \
  struct case_##name final : public fixture { \
    void run();                               \
  };                                          \
  }                                           \
  TEST(name) { case_##name().run(); }         \
  void case_##name::run()

#define ROLE(name)                                              \
  static int role_##name(const std::vector<std::string>& args); \
  [[maybe_unused]] static const bool registered_role_##name =   \
      ::check::add(::check::roles(), {#name, &role_##name});    \
  static int role_##name([[maybe_unused]] const std::vector<std::string>& args)

namespace check {

// The words that start this program again, for a role: its path, behind the emulator if
// Meson runs it under one. With POSSUM_PEERS=DIRECTORY the program of the same name
// there, built for another architecture.
inline std::vector<std::string> program() {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  if (const char* peers = std::getenv("POSSUM_PEERS")) return {peers / self.filename()};
  std::vector<std::string> words;
  const char* wrapper = std::getenv("MESON_EXE_WRAPPER");
  std::istringstream text(wrapper ? wrapper : "");
  for (std::string word; text >> word;) words.push_back(word);
  words.push_back(self);
  return words;
}

// What Meson takes for "skipped".
inline constexpr int kSkipped = 77;

struct Test {
  const char* name;
  void (*run)();
};

struct Role {
  const char* name;
  int (*run)(const std::vector<std::string>& args);
};

inline std::vector<Test>& tests() {
  static std::vector<Test> list;
  return list;
}

inline std::vector<Role>& roles() {
  static std::vector<Role> list;
  return list;
}

template <class T>
bool add(std::vector<T>& list, T entry) {
  list.push_back(entry);
  return true;
}

[[noreturn]] inline void failed(const char* file, int line, const char* condition) {
  std::fflush(stdout);
  std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, condition);
  std::abort();
}

template <class T>
const T* find(const std::vector<T>& list, const char* name) {
  for (const T& entry : list) {
    if (std::strcmp(entry.name, name) == 0) return &entry;
  }
  std::fprintf(stderr, "nothing here is named %s; there are:\n", name);
  for (const T& entry : list) std::fprintf(stderr, "  %s\n", entry.name);
  return nullptr;
}

struct Skip {
  std::string reason;
};

[[noreturn]] inline void skip(const std::string& reason) { throw Skip{reason}; }

// printf() of numbers of any kind, each as %lld.
template <class... Numbers>
void note(const char* format, Numbers... numbers) {
  std::printf(format, static_cast<long long>(numbers)...);
}

inline void run(const Test& test, bool& skipped) {
  const std::size_t open_before = support::open_descriptors().size();
  try {
    test.run();
  } catch (const Skip& skip) {
    std::fprintf(stderr, "SKIPPED %s: %s\n", test.name, skip.reason.c_str());
    skipped = true;
    return;
  }
  const auto open = support::open_descriptors();
  const auto names = support::own_names();
  if (open.size() != open_before || !names.empty()) {
    std::fprintf(stderr, "%s%s\n", support::joined(open).c_str(),
                 support::joined(names).c_str());
    failed(__FILE__, __LINE__, (std::string(test.name) + " leaves nothing open").c_str());
  }
  std::printf("ok %s\n", test.name);
  std::fflush(stdout);
}

inline int main(int argc, char** argv) {
  if (argc > 2 && std::strcmp(argv[1], "--role") == 0) {
    const Role* role = find(roles(), argv[2]);
    return role ? role->run({argv + 3, argv + argc}) : 2;
  }
  bool skipped = false;
  if (argc == 1) {
    for (const Test& test : tests()) run(test, skipped);
  }
  for (int i = 1; i < argc; ++i) {
    const Test* test = find(tests(), argv[i]);
    if (!test) return 2;
    run(*test, skipped);
  }
  return skipped ? kSkipped : 0;
}

}  // namespace check

int main(int argc, char** argv) { return check::main(argc, argv); }
