// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. Each property is described here, once for the reference and once, in
// fewer words, for gst-inspect-1.0.
#include "sinksettings.h"

#include "base/users.h"
#include "element.h"

namespace possum {

bool SinkSettings::set(guint property, const GValue* value) {
  switch (static_cast<SinkProperty>(property)) {
    case SinkProperty::channel:
      channel = string_of(value, "default");
      return true;
    case SinkProperty::slots:
      slots = g_value_get_uint(value);
      return true;
    case SinkProperty::perms:
      perms = g_value_get_uint(value);
      return true;
    case SinkProperty::group:
      group = string_of(value, "");
      return true;
    case SinkProperty::min_readers:
      min_readers = g_value_get_uint(value);
      return true;
    case SinkProperty::allow_blocking:
      allow_blocking = g_value_get_boolean(value);
      return true;
    case SinkProperty::max_blocking_time:
      max_blocking_time = g_value_get_uint64(value);
      return true;
    case SinkProperty::sigbus_guard:
      sigbus_guard = g_value_get_boolean(value);
      return true;
    default:
      return false;
  }
}

bool SinkSettings::get(guint property, GValue* value) const {
  switch (static_cast<SinkProperty>(property)) {
    case SinkProperty::channel:
      g_value_set_string(value, channel.c_str());
      return true;
    case SinkProperty::slots:
      g_value_set_uint(value, slots);
      return true;
    case SinkProperty::perms:
      g_value_set_uint(value, perms);
      return true;
    case SinkProperty::group:
      g_value_set_string(value, group.empty() ? nullptr : group.c_str());
      return true;
    case SinkProperty::min_readers:
      g_value_set_uint(value, min_readers);
      return true;
    case SinkProperty::allow_blocking:
      g_value_set_boolean(value, allow_blocking);
      return true;
    case SinkProperty::max_blocking_time:
      g_value_set_uint64(value, max_blocking_time);
      return true;
    case SinkProperty::sigbus_guard:
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
  const SinkSettings defaults;
  const auto install = [klass](SinkProperty id, GParamSpec* spec) {
    g_object_class_install_property(klass, static_cast<guint>(id), spec);
  };

  /**
   * GstPossumSink:channel:
   *
   * The name that writer and readers meet by, machine-wide: a letter, digit or "_", then
   * up to 119 letters, digits, ".", "_" or "-". Anything else is an error. The name is
   * claimed from READY to PAUSED and free again in READY. Where another process holds it,
   * the element tries again for 2 seconds (a killed writer's name may be held a second
   * longer than the writer lives), which a state change ends, and then posts a RESOURCE
   * BUSY error that names the process.
   *
   * Since: 0.1
   */
  install(SinkProperty::channel,
          g_param_spec_string(
              "channel", "Channel",
              "Name that readers find this sink by, unique on the machine: 1 to 120 "
              "letters, digits, '.', '_' or '-', the first no '.' or '-'. Claimed on the "
              "way to PAUSED (waits up to 2 s for a name in use), free again in READY",
              defaults.channel.c_str(), kSetWhenStopped));
  /**
   * GstPossumSink:slots:
   *
   * The most slots, of one frame each, that there may be in shared memory. The pool
   * starts with what upstream and one reader need, at least 3, and grows when readers
   * hold more. All memory is reserved before it is used: where /dev/shm has no room to
   * grow, the element posts a warning and goes on with fewer; where it has no room for 3,
   * a RESOURCE NO_SPACE_LEFT error that says how much is needed.
   *
   * Since: 0.1
   */
  install(SinkProperty::slots,
          g_param_spec_uint(
              "slots", "Slots",
              "The most slots, of one frame each, in shared memory. The pool starts with "
              "what upstream and one reader need and grows when readers hold more",
              3, 32, defaults.slots, kSetWhenStopped));
  /**
   * GstPossumSink:perms:
   *
   * Who may attach, as for chmod: 0600 this user alone, 0660 the group too, 0666
   * everybody. A reader both reads and writes the object that it attaches by, so user,
   * group and others have both rights or none; anything else is a RESOURCE SETTINGS
   * error. The pixels can be written by this user alone, whatever this says.
   *
   * Since: 0.1
   */
  install(
      SinkProperty::perms,
      g_param_spec_uint(
          "perms", "Permissions",
          "Who may attach, in octal as for chmod: 0600 this user only, 0660 the group "
          "too, 0666 everybody. Readers need both r and w, so there is nothing in "
          "between. Pixels are never writable for group and others",
          0, G_MAXUINT, defaults.perms, kSetWhenStopped));
  /**
   * GstPossumSink:group:
   *
   * The group that owns the shared objects and that #GstPossumSink:perms such as 0660
   * lets in, by name or number; %NULL is the group of the process. One that does not
   * exist is a RESOURCE SETTINGS error.
   *
   * Since: 0.1
   */
  install(
      SinkProperty::group,
      g_param_spec_string(
          "group", "Group",
          "Group that perms=0660 lets in and that owns the objects, by name or number "
          "(NULL: the process's group)",
          nullptr, kSetWhenStopped));
  /**
   * GstPossumSink:min-readers:
   *
   * Until so many readers are attached, frames of a live upstream are discarded and
   * counted ("discarded" in #GstPossumSink:stats), and one that is not live waits: a
   * paced one with its first frame in PAUSED, so that the whole pipeline begins when the
   * readers are there. A state change or a flush ends the wait. May be changed at any
   * time; a wait goes by the new number.
   *
   * Since: 0.1
   */
  install(SinkProperty::min_readers,
          g_param_spec_uint(
              "min-readers", "Minimum readers",
              "Until so many readers are attached, frames of a live upstream are "
              "discarded and a non-live upstream waits, a paced one with its first frame "
              "in PAUSED (0: never wait). A state change or a flush ends the wait",
              0, 32, defaults.min_readers, kSetAnyTime));
  /**
   * GstPossumSink:allow-blocking:
   *
   * Whether a reader with #GstPossumSrc:leaky-type "none" may attach. Such a reader gets
   * every frame: the streaming thread waits for it, also at EOS, for as long as
   * #GstPossumSink:max-blocking-time says. A state change or a flush ends the wait.
   *
   * Since: 0.1
   */
  install(SinkProperty::allow_blocking,
          g_param_spec_boolean(
              "allow-blocking", "Allow blocking",
              "Let readers with leaky-type=none hold up this sink when they are slow, so "
              "that they get every frame. Otherwise they cannot attach",
              defaults.allow_blocking, kSetWhenStopped));
  /**
   * GstPossumSink:max-blocking-time:
   *
   * How long a blocking reader may hold up this sink without taking a frame, in
   * nanoseconds; #GST_CLOCK_TIME_NONE is for ever. Longer, and frames are dropped for it
   * from then on: the element posts a warning, and "policy" of that reader in
   * #GstPossumSink:stats becomes "demoted". It stays attached.
   *
   * Since: 0.1
   */
  install(SinkProperty::max_blocking_time,
          g_param_spec_uint64(
              "max-blocking-time", "Maximum blocking time",
              "Nanoseconds that a blocking reader may hold up this sink without taking a "
              "frame; from then on frames are dropped for it (-1: no limit)",
              0, G_MAXUINT64, defaults.max_blocking_time, kSetWhenStopped));
  /**
   * GstPossumSink:sigbus-guard:
   *
   * Whoever may write to the shared memory may also truncate it, and the next touch ends
   * this process with SIGBUS. With the guard the frame is dropped and the channel is made
   * anew instead.
   *
   * The handler is installed when the element starts, for the whole process and for good:
   * that is up to the application, hence the default. What is not ours goes to the
   * handler that was there before. One that is installed later replaces the guard, unless
   * it passes on what it does not know. Threads that block SIGBUS are not guarded.
   *
   * Since: 0.1
   */
  install(SinkProperty::sigbus_guard,
          g_param_spec_boolean(
              "sigbus-guard", "SIGBUS guard",
              "Survive somebody who truncates the shared memory: the channel is made "
              "anew. Installs a SIGBUS handler that stays for the whole process and "
              "passes on what is not ours to the one before it",
              defaults.sigbus_guard, kSetWhenStopped));
  /**
   * GstPossumSink:num-readers:
   *
   * How many readers are attached now. Notifications come from a thread of the element's
   * own, with no lock held, see #GstPossumSink::reader-attached, or from the thread that
   * stops the element.
   *
   * Since: 0.1
   */
  install(SinkProperty::num_readers,
          g_param_spec_uint(
              "num-readers", "Number of readers",
              "Readers attached now. notify::num-readers comes from a thread of its own, "
              "or from the one that stops the element",
              0, 32, 0, kReadOnly));
  /**
   * GstPossumSink:stats:
   *
   * A #GstStructure of counters since the element went to PAUSED; those of the last run
   * once it has stopped. It takes the place of #GstBaseSink:stats and contains what that
   * has, corrected by what is dropped here: "average-rate" (gdouble), "dropped" and
   * "rendered" (guint64). Further, of type guint64: "frames" and "bytes" published;
   * "zero-copy" and "copied" (frames that lay in a slot, frames that were copied into
   * one); "no-slot" (dropped because readers held every slot); "discarded" (for want of
   * #GstPossumSink:min-readers). Of type guint: "slots" (that there are now) and "held"
   * (of those, by readers). "metas-not-carried" is a #GstStructure of counts (guint64) by
   * the name of the meta's API. "readers" is a #GST_TYPE_ARRAY with a #GstStructure for
   * each: "index", "pid", "waiting" and "held" (frames, now) of type guint, "policy" (a
   * string: "downstream", "upstream", "none" or "demoted"), "delivered" and "dropped" of
   * type guint64.
   *
   * Since: 0.1
   */
  install(SinkProperty::stats,
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
