// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Property table of possumsink, and the look-up of its group.
#include "sinksettings.h"

#include <algorithm>

#include "base/users.h"
#include "transport/names.h"

namespace possum {
namespace {

constexpr auto kReadWrite =
    static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS);
constexpr auto kReadOnly =
    static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
constexpr auto kBeforePaused =
    static_cast<GParamFlags>(kReadWrite | GST_PARAM_MUTABLE_READY);
constexpr auto kAnyTime =
    static_cast<GParamFlags>(kReadWrite | GST_PARAM_MUTABLE_PLAYING);

std::string string_of(const GValue* value, const char* fallback) {
  const gchar* text = g_value_get_string(value);
  return text != nullptr ? text : fallback;
}

}  // namespace

bool SinkSettings::set(guint property, const GValue* value) {
  switch (property) {
    case PROP_CHANNEL:
      channel = string_of(value, "default");
      return true;
    case PROP_SLOTS:
      slots = g_value_get_uint(value);
      return true;
    case PROP_PERMS:
      perms = g_value_get_uint(value);
      return true;
    case PROP_GROUP:
      group = string_of(value, "");
      return true;
    case PROP_MIN_READERS:
      min_readers = g_value_get_uint(value);
      return true;
    case PROP_ALLOW_BLOCKING:
      allow_blocking = g_value_get_boolean(value);
      return true;
    case PROP_MAX_BLOCKING_TIME:
      max_blocking_time = g_value_get_uint64(value);
      return true;
    case PROP_SIGBUS_GUARD:
      sigbus_guard = g_value_get_boolean(value);
      return true;
    default:
      return false;
  }
}

bool SinkSettings::get(guint property, GValue* value) const {
  switch (property) {
    case PROP_CHANNEL:
      g_value_set_string(value, channel.c_str());
      return true;
    case PROP_SLOTS:
      g_value_set_uint(value, slots);
      return true;
    case PROP_PERMS:
      g_value_set_uint(value, perms);
      return true;
    case PROP_GROUP:
      g_value_set_string(value, group.empty() ? nullptr : group.c_str());
      return true;
    case PROP_MIN_READERS:
      g_value_set_uint(value, min_readers);
      return true;
    case PROP_ALLOW_BLOCKING:
      g_value_set_boolean(value, allow_blocking);
      return true;
    case PROP_MAX_BLOCKING_TIME:
      g_value_set_uint64(value, max_blocking_time);
      return true;
    case PROP_SIGBUS_GUARD:
      g_value_set_boolean(value, sigbus_guard);
      return true;
    default:
      return false;
  }
}

std::optional<transport::WriterOptions> SinkSettings::writer_options(Error& error) const {
  transport::WriterOptions options;
  options.channel = channel;
  options.slots = slots;
  options.perms = perms;
  options.allow_blocking = allow_blocking;
  options.bus_guard = sigbus_guard;
  if (max_blocking_time < static_cast<GstClockTime>(transport::kForever)) {
    options.max_blocking_ns = static_cast<std::int64_t>(max_blocking_time);
  }
  if (group.empty()) return options;
  options.group = find_group(group);
  if (options.group) return options;
  error = make_error(
      ErrorCode::settings,
      "Group \"" + group +
          "\" is unknown: set group= to a name that getent group lists, or to a number.",
      "getgrnam_r");
  return std::nullopt;
}

void install_sink_properties(GObjectClass* klass) {
  const SinkSettings initial;
  const auto install = [klass](guint id, GParamSpec* spec) {
    g_object_class_install_property(klass, id, spec);
  };
  install(PROP_CHANNEL,
          g_param_spec_string(
              "channel", "Channel",
              "Name that readers find this sink by, unique on the machine: 1 to 120 "
              "letters, digits, '.', '_' or '-', the first no '.' or '-'. Claimed on the "
              "way to PAUSED (waits up to 2 s for a name in use), free again in READY",
              initial.channel.c_str(), kBeforePaused));
  install(PROP_SLOTS,
          g_param_spec_uint(
              "slots", "Slots",
              "The most slots, of one frame each, in shared memory. The pool starts with "
              "what upstream and one reader need and grows when readers hold more",
              3, 32, initial.slots, kBeforePaused));
  install(
      PROP_PERMS,
      g_param_spec_uint(
          "perms", "Permissions",
          "Who may attach, in octal as for chmod: 0600 this user only, 0660 the group "
          "too, 0666 everybody. Readers need both r and w, so there is nothing in "
          "between. Pixels are never writable for group and others",
          0, G_MAXUINT, initial.perms, kBeforePaused));
  install(
      PROP_GROUP,
      g_param_spec_string(
          "group", "Group",
          "Group that perms=0660 lets in and that owns the objects, by name or number "
          "(NULL: the process's group)",
          nullptr, kBeforePaused));
  install(PROP_MIN_READERS,
          g_param_spec_uint(
              "min-readers", "Minimum readers",
              "Until so many readers are attached, frames of a live upstream are "
              "discarded and a non-live upstream waits, a paced one with its first frame "
              "in PAUSED (0: never wait). A state change or a flush ends the wait",
              0, 32, initial.min_readers, kAnyTime));
  install(PROP_ALLOW_BLOCKING,
          g_param_spec_boolean(
              "allow-blocking", "Allow blocking",
              "Let readers with leaky-type=none hold up this sink when they are slow, so "
              "that they get every frame. Otherwise they cannot attach",
              initial.allow_blocking, kBeforePaused));
  install(PROP_MAX_BLOCKING_TIME,
          g_param_spec_uint64(
              "max-blocking-time", "Maximum blocking time",
              "Nanoseconds that a blocking reader may hold up this sink without taking a "
              "frame; from then on frames are dropped for it (-1: no limit)",
              0, G_MAXUINT64, initial.max_blocking_time, kBeforePaused));
  install(PROP_SIGBUS_GUARD,
          g_param_spec_boolean(
              "sigbus-guard", "SIGBUS guard",
              "Survive somebody who truncates the shared memory: the channel is made "
              "anew. Installs a SIGBUS handler that stays for the whole process and "
              "passes on what is not ours to the one before it",
              initial.sigbus_guard, kBeforePaused));
  install(PROP_NUM_READERS,
          g_param_spec_uint(
              "num-readers", "Number of readers",
              "Readers attached now. notify::num-readers comes from a thread of its own, "
              "or from the one that stops the element",
              0, 32, 0, kReadOnly));
  // Takes the place of GstBaseSink's property of that name and contains what that has.
  install(PROP_STATS,
          g_param_spec_boxed(
              "stats", "Statistics",
              "Since PAUSED: average-rate, dropped and rendered as in GstBaseSink; "
              "frames and bytes published; zero-copy and copied (frames that lay in a "
              "slot, frames that were copied into one); no-slot (dropped because readers "
              "held every slot); discarded (for want of min-readers); slots and held "
              "(now); metas-not-carried (name, count); readers (index, pid, policy, "
              "waiting, held, delivered, dropped)",
              GST_TYPE_STRUCTURE, kReadOnly));
}

}  // namespace possum
