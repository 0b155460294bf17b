// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. Each property is described here, once for the reference and once, in
// fewer words, for gst-inspect-1.0.
#include "srcsettings.h"

#include "base/users.h"
#include "element.h"

namespace possum {
namespace {

constexpr gint value_of(Leaky value) { return static_cast<gint>(value); }
constexpr gint value_of(OnDisconnect value) { return static_cast<gint>(value); }
constexpr gint value_of(TimestampMode value) { return static_cast<gint>(value); }

GType new_enum(const char* name, const GEnumValue* values) {
  const GType type = g_enum_register_static(name, values);
  gst_type_mark_as_plugin_api(type, static_cast<GstPluginAPIFlags>(0));
  return type;
}

GType leaky_type() {
  static const GEnumValue values[] = {
      {value_of(Leaky::none),
       "Make the writer wait, so that nothing is missed (needs allow-blocking there)",
       "none"},
      {value_of(Leaky::upstream), "Drop the newest frame, keep what waits", "upstream"},
      {value_of(Leaky::downstream), "Drop the oldest frame that waits", "downstream"},
      {0, nullptr, nullptr},
  };
  static const GType type = new_enum("GstPossumSrcLeakyType", values);
  return type;
}

GType on_disconnect_type() {
  static const GEnumValue values[] = {
      {value_of(OnDisconnect::wait), "Wait for the next writer of that channel", "wait"},
      {value_of(OnDisconnect::eos), "End the stream with EOS", "eos"},
      {value_of(OnDisconnect::error), "Post a RESOURCE error", "error"},
      {0, nullptr, nullptr},
  };
  static const GType type = new_enum("GstPossumSrcOnDisconnect", values);
  return type;
}

GType timestamp_mode_type() {
  static const GEnumValue values[] = {
      {value_of(TimestampMode::clock),
       "When it was captured or is due at the writer, in running time of this pipeline",
       "clock"},
      {value_of(TimestampMode::running_time),
       "The running times of the writer, for recorded material", "running-time"},
      {0, nullptr, nullptr},
  };
  static const GType type = new_enum("GstPossumSrcTimestampMode", values);
  return type;
}

transport::layout::Policy policy_of(Leaky leaky) {
  switch (leaky) {
    case Leaky::none:
      return transport::layout::Policy::blocking;
    case Leaky::upstream:
      return transport::layout::Policy::drop_newest;
    case Leaky::downstream:
      break;
  }
  return transport::layout::Policy::drop_oldest;
}

}  // namespace

bool SrcSettings::set(guint property, const GValue* value) {
  switch (static_cast<SrcProperty>(property)) {
    case SrcProperty::channel:
      channel = string_of(value, "default");
      return true;
    case SrcProperty::leaky_type:
      leaky = static_cast<Leaky>(g_value_get_enum(value));
      return true;
    case SrcProperty::max_buffers:
      max_buffers = g_value_get_uint(value);
      return true;
    case SrcProperty::connection_timeout:
      connection_timeout = g_value_get_uint64(value);
      return true;
    case SrcProperty::on_disconnect:
      on_disconnect = static_cast<OnDisconnect>(g_value_get_enum(value));
      return true;
    case SrcProperty::ignore_eos:
      ignore_eos = g_value_get_boolean(value);
      return true;
    case SrcProperty::timestamp_mode:
      timestamp_mode = static_cast<TimestampMode>(g_value_get_enum(value));
      return true;
    case SrcProperty::is_live:
      is_live = g_value_get_boolean(value);
      return true;
    case SrcProperty::allowed_owner:
      allowed_owner = string_of(value, "");
      return true;
    case SrcProperty::copy_frames:
      copy_frames = g_value_get_boolean(value);
      return true;
    case SrcProperty::sigbus_guard:
      sigbus_guard = g_value_get_boolean(value);
      return true;
    default:
      return false;
  }
}

bool SrcSettings::get(guint property, GValue* value) const {
  switch (static_cast<SrcProperty>(property)) {
    case SrcProperty::channel:
      g_value_set_string(value, channel.c_str());
      return true;
    case SrcProperty::leaky_type:
      g_value_set_enum(value, value_of(leaky));
      return true;
    case SrcProperty::max_buffers:
      g_value_set_uint(value, max_buffers);
      return true;
    case SrcProperty::connection_timeout:
      g_value_set_uint64(value, connection_timeout);
      return true;
    case SrcProperty::on_disconnect:
      g_value_set_enum(value, value_of(on_disconnect));
      return true;
    case SrcProperty::ignore_eos:
      g_value_set_boolean(value, ignore_eos);
      return true;
    case SrcProperty::timestamp_mode:
      g_value_set_enum(value, value_of(timestamp_mode));
      return true;
    case SrcProperty::is_live:
      g_value_set_boolean(value, is_live);
      return true;
    case SrcProperty::allowed_owner:
      g_value_set_string(value, allowed_owner.empty() ? nullptr : allowed_owner.c_str());
      return true;
    case SrcProperty::copy_frames:
      g_value_set_boolean(value, copy_frames);
      return true;
    case SrcProperty::sigbus_guard:
      g_value_set_boolean(value, sigbus_guard);
      return true;
    default:
      return false;
  }
}

std::optional<transport::ReaderOptions> SrcSettings::reader_options(Error& error) const {
  transport::ReaderOptions options;
  options.channel = channel;
  options.policy = policy_of(leaky);
  options.depth = max_buffers;
  options.bus_guard = sigbus_guard;
  // A disconnect that ends the stream has to be noticed; otherwise EOS is a long pause.
  options.ignore_eos = ignore_eos && on_disconnect == OnDisconnect::wait;
  options.any_owner = allowed_owner == "any";
  if (allowed_owner.empty() || options.any_owner) return options;
  options.allowed_owner = find_user(allowed_owner);
  if (options.allowed_owner) return options;
  error = make_error(ErrorCode::settings,
                     "allowed-owner \"" + allowed_owner +
                         "\" is no user of this machine: set it to a user name, a uid or "
                         "\"any\"",
                     "getpwnam_r");
  return std::nullopt;
}

void install_src_properties(GObjectClass* klass) {
  const SrcSettings defaults;
  const auto install = [klass](SrcProperty id, GParamSpec* spec) {
    g_object_class_install_property(klass, static_cast<guint>(id), spec);
  };

  /**
   * GstPossumSrc:channel:
   *
   * The name that writer and readers meet by, machine-wide: a letter, digit or "_", then
   * up to 119 letters, digits, ".", "_" or "-". Anything else is an error when the
   * element starts.
   *
   * Since: 0.1
   */
  install(SrcProperty::channel,
          g_param_spec_string(
              "channel", "Channel",
              "Name of the channel to read, unique on the machine: 1 to 120 letters, "
              "digits, '.', '_' or '-', the first no '.' or '-'",
              defaults.channel.c_str(), kSetWhenStopped));
  /**
   * GstPossumSrc:leaky-type:
   *
   * What happens when #GstPossumSrc:max-buffers frames wait for this reader. With "none"
   * the writer waits, which it must permit by its allow-blocking property: this is
   * checked whenever the reader attaches, and an error if not so.
   *
   * Since: 0.1
   */
  install(SrcProperty::leaky_type,
          g_param_spec_enum(
              "leaky-type", "Leaky type",
              "What happens when max-buffers frames wait and another one comes",
              leaky_type(), static_cast<gint>(defaults.leaky), kSetWhenStopped));
  /**
   * GstPossumSrc:max-buffers:
   *
   * How many frames may wait for this reader; those that downstream holds are not among
   * them. 1 with leaky-type=downstream is "the newest only". May be changed at any time:
   * it counts from the next frame on, and the latency that the element answers follows.
   *
   * Since: 0.1
   */
  install(SrcProperty::max_buffers,
          g_param_spec_uint("max-buffers", "Max buffers",
                            "Frames that may wait for this reader before leaky-type "
                            "applies",
                            1, transport::layout::kMaxDepth, defaults.max_buffers,
                            kSetAnyTime));
  /**
   * GstPossumSrc:connection-timeout:
   *
   * How long each wait for a channel may last, in nanoseconds, at the start and after
   * each disconnect; 0 is for ever. It also counts while 32 readers are attached, or
   * something else lies under the name. Then the element posts a RESOURCE error:
   * NOT_FOUND, BUSY, or NOT_AUTHORIZED for what belongs to another user.
   *
   * Since: 0.1
   */
  install(
      SrcProperty::connection_timeout,
      g_param_spec_uint64(
          "connection-timeout", "Connection timeout",
          "Nanoseconds that each wait for a channel may last, at the start and after a "
          "disconnect, before it is an error (0: for ever)",
          0, G_MAXUINT64, defaults.connection_timeout, kSetAnyTime));
  /**
   * GstPossumSrc:on-disconnect:
   *
   * What to do when the writer stops without EOS, or dies: wait for the next one of that
   * channel, whose caps and times then take over; end the stream; or post a RESOURCE
   * READ error.
   *
   * Since: 0.1
   */
  install(SrcProperty::on_disconnect,
          g_param_spec_enum("on-disconnect", "On disconnect",
                            "What to do when the writer dies, or stops without EOS",
                            on_disconnect_type(),
                            static_cast<gint>(defaults.on_disconnect), kSetWhenStopped));
  /**
   * GstPossumSrc:ignore-eos:
   *
   * Treat the writer's EOS as a disconnect: what follows is up to
   * #GstPossumSrc:on-disconnect. With "wait", frames that the same writer sends after its
   * EOS arrive too.
   *
   * Since: 0.1
   */
  install(SrcProperty::ignore_eos,
          g_param_spec_boolean(
              "ignore-eos", "Ignore EOS",
              "Treat the writer's EOS as a disconnect: on-disconnect says what follows",
              defaults.ignore_eos, kSetWhenStopped));
  /**
   * GstPossumSrc:timestamp-mode:
   *
   * "clock": a frame's PTS is when it was captured, or, of a writer that is not live,
   * when its sink shows it, in this pipeline's running time, so that two pipelines agree
   * on it. Of a writer with sync=false, and of a live one that runs ahead of the clock,
   * it is when the frame was published.
   *
   * "running-time", for the hand-over of recorded material: PTS and DTS are the running
   * times of the writer. They are neither its time stamps nor positions in a file: they
   * begin with 0 when it starts, go on across segments and seeks that do not flush, and
   * begin with 0 again after a flushing seek, wherever that leads to. Each writer, and
   * each flush of it, gets a segment of its own, which begins with the first PTS. A pause
   * of the writer, or its wait for min-readers, does not show in running times: to a live
   * reader with a clock that runs on, what follows is late.
   *
   * With do-timestamp=true neither counts: the PTS is when the frame arrived.
   *
   * Since: 0.1
   */
  install(SrcProperty::timestamp_mode,
          g_param_spec_enum("timestamp-mode", "Timestamp mode",
                            "What PTS and DTS of a frame say", timestamp_mode_type(),
                            static_cast<gint>(defaults.timestamp_mode), kSetWhenStopped));
  /**
   * GstPossumSrc:is-live:
   *
   * If false, the pipeline prerolls with the first frame, and time stamps are as with
   * timestamp-mode=running-time.
   *
   * Since: 0.1
   */
  install(
      SrcProperty::is_live,
      g_param_spec_boolean(
          "is-live", "Is live",
          "Be a live source. If false, preroll with the first frame and stamp as with "
          "timestamp-mode=running-time",
          defaults.is_live, kSetWhenStopped));
  /**
   * GstPossumSrc:allowed-owner:
   *
   * User name or uid whose channels are accepted, besides those of this user and root;
   * "any" accepts all. Whoever owns the channel decides what is shown.
   *
   * Since: 0.1
   */
  install(
      SrcProperty::allowed_owner,
      g_param_spec_string(
          "allowed-owner", "Allowed owner",
          "User name or uid whose channels are accepted besides those of this user and "
          "root (\"any\": everybody's, NULL: nobody else's)",
          nullptr, kSetWhenStopped));
  /**
   * GstPossumSrc:copy-frames:
   *
   * Copy each frame on arrival and give its slot back at once, for pipelines that keep
   * many frames for long.
   *
   * Since: 0.1
   */
  install(
      SrcProperty::copy_frames,
      g_param_spec_boolean(
          "copy-frames", "Copy frames",
          "Copy each frame on arrival and give its slot back at once, for pipelines that "
          "keep many frames for long",
          defaults.copy_frames, kSetAnyTime));
  /**
   * GstPossumSrc:sigbus-guard:
   *
   * Whoever may write to the channel's shared memory may also truncate it, and the next
   * touch ends this process with SIGBUS. With the guard the frame turns into zeros, for
   * those who hold it too, and the element posts a RESOURCE READ error instead.
   *
   * The handler is installed when the element starts, for the whole process and for good:
   * that is up to the application, hence the default. What is not ours goes to the
   * handler that was there before. One that is installed later replaces the guard, unless
   * it passes on what it does not know. Threads that block SIGBUS are not guarded.
   *
   * Since: 0.1
   */
  install(SrcProperty::sigbus_guard,
          g_param_spec_boolean(
              "sigbus-guard", "SIGBUS guard",
              "Survive somebody who truncates the shared memory: an error instead of a "
              "crash. Installs a SIGBUS handler that stays for the whole process and "
              "passes on what is not ours to the one before it",
              defaults.sigbus_guard, kSetWhenStopped));
  /**
   * GstPossumSrc:stats:
   *
   * A #GstStructure of counters since the element started, or of the last run once it has
   * stopped; NULL before the first: "frames" and "bytes" taken, "missed" (frames that the
   * writer sent and this reader did not get), "copied" (frames that were copied), and
   * "reconnects" (attachments after the first) of type guint64; "age" (guint64,
   * nanoseconds from the capture of the newest frame to its arrival here,
   * #GST_CLOCK_TIME_NONE before the first); "writer-pid" (guint, 0 before the first
   * attachment).
   *
   * Since: 0.1
   */
  install(
      SrcProperty::stats,
      g_param_spec_boxed(
          "stats", "Statistics",
          "Since the start: frames and bytes taken; missed (sent but not got); copied "
          "(frames that had to be copied); reconnects; age (ns from the newest frame's "
          "capture to its arrival, -1: none yet); writer-pid (0: none yet). "
          "NULL before the first start",
          GST_TYPE_STRUCTURE, kReadOnly));
}

}  // namespace possum
