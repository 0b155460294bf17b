// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// GstUri takes the URI apart; this file checks what it is lenient about. Numbers and
// names of values are read here, because gst_value_deserialize() cuts them to size
// (4294967297 is 1 there) and takes an empty text for 0.
#include "urihandler.h"

#include <gst/base/gstbasesink.h>

#include <cstring>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "channel/errors.h"
#include "channel/names.h"
#include "element.h"
#include "refs.h"

namespace possum {
namespace {

constexpr char kScheme[] = "possum://";
constexpr char kExample[] = "possum://default?max-buffers=1";

std::string escaped(const char* text) {
  return Ref<gchar>{g_uri_escape_string(text, nullptr, FALSE)}.get();
}

bool refuse(GError** error, const std::string& sentence) {
  g_set_error_literal(error, GST_URI_ERROR, GST_URI_ERROR_BAD_URI, sentence.c_str());
  return false;
}

// --- parameters ----------------------------------------------------------------------

using Parameters = std::vector<GParamSpec*>;

Parameters parameters_of(gpointer element) {
  guint count = 0;
  GParamSpec** const all =
      g_object_class_list_properties(G_OBJECT_GET_CLASS(element), &count);
  Parameters own;
  for (guint i = 0; i < count; ++i) {
    if (all[i]->owner_type == G_OBJECT_TYPE(element) &&
        (all[i]->flags & G_PARAM_WRITABLE) != 0 &&
        std::strcmp(all[i]->name, "channel") != 0) {
      own.push_back(all[i]);
    }
  }
  g_free(all);
  return own;
}

std::string names_of(const Parameters& parameters) {
  std::string names;
  for (const GParamSpec* spec : parameters) {
    names += (names.empty() ? "" : ", ") + std::string(spec->name);
  }
  return names;
}

// A value of a property's type; at first the default.
class Value {
 public:
  explicit Value(GParamSpec* spec) : spec_(spec) {
    g_value_init(&value_, spec->value_type);
    g_param_value_set_default(spec, &value_);
  }
  ~Value() { g_value_unset(&value_); }
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;

  GParamSpec* spec() const { return spec_; }
  GValue* get() { return &value_; }
  // False if the text makes no sense. NULL is a parameter without "=".
  bool read(const char* text);
  // What read() takes.
  std::string possible() const;

 private:
  bool read_number(std::string_view text, guint64 least, guint64 most);
  bool read_name(const char* text);
  GParamSpec* spec_;
  GValue value_ = G_VALUE_INIT;
};

// A leading 0 makes it octal, as for gst-launch-1.0: perms=0660.
bool Value::read_number(std::string_view text, guint64 least, guint64 most) {
  guint64 number = most;
  const bool all_ones = most == G_MAXUINT64 && text == "-1";
  const guint base = text.size() > 1 && text[0] == '0' ? 8 : 10;
  if (!all_ones &&
      !g_ascii_string_to_unsigned(text.data(), base, least, most, &number, nullptr)) {
    return false;
  }
  if (G_VALUE_HOLDS_UINT(&value_)) {
    g_value_set_uint(&value_, static_cast<guint>(number));
  } else {
    g_value_set_uint64(&value_, number);
  }
  return true;
}

// As it is written there: some versions of GLib look names up whatever their case.
bool Value::read_name(const char* text) {
  const GEnumClass* const klass = G_PARAM_SPEC_ENUM(spec_)->enum_class;
  for (const GEnumValue* value = klass->values; value->value_nick != nullptr; ++value) {
    if (std::strcmp(value->value_nick, text) != 0) continue;
    g_value_set_enum(&value_, value->value);
    return true;
  }
  return false;
}

bool Value::read(const char* text) {
  if (text == nullptr) return false;
  if (G_IS_PARAM_SPEC_UINT(spec_)) {
    const GParamSpecUInt* const range = G_PARAM_SPEC_UINT(spec_);
    return read_number(text, range->minimum, range->maximum);
  }
  if (G_IS_PARAM_SPEC_UINT64(spec_)) {
    const GParamSpecUInt64* const range = G_PARAM_SPEC_UINT64(spec_);
    return read_number(text, range->minimum, range->maximum);
  }
  if (G_IS_PARAM_SPEC_ENUM(spec_)) return read_name(text);
  if (G_IS_PARAM_SPEC_BOOLEAN(spec_)) return gst_value_deserialize(&value_, text);
  g_value_set_string(&value_, *text == '\0' ? nullptr : text);
  return true;
}

std::string range_text(guint64 least, guint64 most, const char* octal) {
  return "a number from " + std::to_string(least) + " to " + std::to_string(most) + octal;
}

std::string Value::possible() const {
  if (G_IS_PARAM_SPEC_UINT(spec_)) {
    const GParamSpecUInt* const range = G_PARAM_SPEC_UINT(spec_);
    return range_text(range->minimum, range->maximum, " (octal with a leading 0)");
  }
  if (G_IS_PARAM_SPEC_UINT64(spec_)) {
    const GParamSpecUInt64* const range = G_PARAM_SPEC_UINT64(spec_);
    return range_text(range->minimum, range->maximum, "");
  }
  if (G_IS_PARAM_SPEC_BOOLEAN(spec_)) return "true or false";
  if (!G_IS_PARAM_SPEC_ENUM(spec_)) return "a text";
  const GEnumClass* const klass = G_PARAM_SPEC_ENUM(spec_)->enum_class;
  std::string names;
  for (guint i = 0; i < klass->n_values; ++i) {
    names += (i == 0                     ? ""
              : i + 1 == klass->n_values ? " or "
                                         : ", ") +
             std::string(klass->values[i].value_nick);
  }
  return names;
}

// --- setting -------------------------------------------------------------------------

struct UriUnref {
  void operator()(GstUri* uri) const noexcept { gst_uri_unref(uri); }
};
using Uri = std::unique_ptr<GstUri, UriUnref>;

struct Settings {
  std::string channel;
  std::list<Value> values;  // of all parameters
};

// GstUri lets "x:", "x:0" and "[x]" pass for the host "x".
bool has_only_host(std::string_view text) {
  const std::size_t start = text.find("//");
  if (start == std::string_view::npos) return false;
  const std::string_view rest = text.substr(start + 2);
  return rest.find_first_of(":@[]") >= rest.find_first_of("/?#");
}

Uri parse(const char* text, GError** error) {
  // GstUri of GStreamer 1.22 to 1.28 ends the program by "?%zz=1".
  const Ref<gchar> plain{g_uri_unescape_string(text, nullptr)};
  if (!plain || !g_utf8_validate(plain.get(), -1, nullptr)) {
    refuse(error, "\"" + plain_text(text) +
                      "\" is no possum URI: a % begins no character of UTF-8; write % "
                      "itself as %25");
    return nullptr;
  }
  Uri uri{gst_uri_from_string(text)};
  if (!uri || !has_only_host(text)) {
    refuse(error, "\"" + plain_text(text) +
                      "\" is no possum URI: the name of the channel stands alone behind "
                      "possum://, without user, port or brackets, as in " +
                      kExample);
    return nullptr;
  }
  return uri;
}

bool read_channel(const GstUri* uri, const char* text, Settings& settings,
                  GError** error) {
  const gchar* const host = gst_uri_get_host(uri);
  if (host == nullptr) {
    return refuse(error,
                  "\"" + plain_text(text) +
                      "\" names no channel: put its name behind possum://, as in " +
                      kExample);
  }
  const Ref<gchar> path{gst_uri_get_path(uri)};
  // "/" is what makers of canonical URIs add.
  if ((path && std::strcmp(path.get(), "/") != 0) ||
      gst_uri_get_fragment(uri) != nullptr) {
    return refuse(error, "\"" + plain_text(text) +
                             "\" is no possum URI: behind the name of the channel there "
                             "are only parameters, as in " +
                             kExample);
  }
  settings.channel = host;
  if (valid_channel_name(settings.channel)) return true;
  return refuse(error, channel_name_error(plain_text(escaped(host))).message);
}

bool read_value(const GstUri* uri, Value& value, GError** error) {
  const char* const name = value.spec()->name;
  if (!gst_uri_query_has_key(uri, name)) return true;
  const gchar* const text = gst_uri_get_query_value(uri, name);
  if (value.read(text)) return true;
  const std::string given = text == nullptr ? "" : "=" + plain_text(escaped(text));
  return refuse(error, std::string(name) + given + " in a possum URI makes no sense: " +
                           name + " is " + value.possible());
}

bool knows_all(const GstUri* uri, const Parameters& parameters, GError** error) {
  GList* const keys = gst_uri_get_query_keys(uri);
  const GList* unknown = keys;
  const auto known = [&parameters](gconstpointer key) {
    for (const GParamSpec* spec : parameters) {
      if (std::strcmp(spec->name, static_cast<const char*>(key)) == 0) return true;
    }
    return false;
  };
  while (unknown != nullptr && known(unknown->data)) unknown = unknown->next;
  const std::string name =
      unknown == nullptr ? "" : escaped(static_cast<const char*>(unknown->data));
  g_list_free(keys);
  return unknown == nullptr ||
         refuse(error, "A possum URI has no parameter \"" + plain_text(name) +
                           "\" here: there are " + names_of(parameters));
}

bool read_uri(gpointer element, const char* text, Settings& settings, GError** error) {
  const Uri uri = parse(text, error);
  if (!uri || !read_channel(uri.get(), text, settings, error)) return false;
  const Parameters parameters = parameters_of(element);
  if (!knows_all(uri.get(), parameters, error)) return false;
  for (GParamSpec* const spec : parameters) {
    if (!read_value(uri.get(), settings.values.emplace_back(spec), error)) return false;
  }
  return true;
}

// Properties may be set in NULL and READY.
bool may_be_set(gpointer element, GError** error) {
  const ObjectLock lock(element);
  if (is_stopped(GST_ELEMENT_CAST(element))) return true;
  g_set_error(error, GST_URI_ERROR, GST_URI_ERROR_BAD_STATE,
              "%s is running: stop it (READY or NULL) before it gets another URI",
              GST_OBJECT_NAME(element));
  return false;
}

gboolean set_uri(GstURIHandler* handler, const gchar* text, GError** error) {
  auto* const element = G_OBJECT(handler);
  Settings settings;
  if (!may_be_set(element, error) || !read_uri(element, text, settings, error)) {
    return FALSE;
  }
  g_object_freeze_notify(element);
  g_object_set(element, "channel", settings.channel.c_str(), nullptr);
  for (Value& value : settings.values) {
    g_object_set_property(element, value.spec()->name, value.get());
  }
  g_object_thaw_notify(element);
  return TRUE;
}

// --- asking --------------------------------------------------------------------------

std::string text_of(const GValue* value) {
  if (G_VALUE_HOLDS_STRING(value)) return g_value_get_string(value);
  return Ref<gchar>{gst_value_serialize(value)}.get();
}

// Not by gst_uri_to_string(): it writes a space as "+", which gst_uri_from_string() takes
// for a plus sign.
gchar* get_uri(GstURIHandler* handler) {
  auto* const element = G_OBJECT(handler);
  gchar* channel = nullptr;
  g_object_get(element, "channel", &channel, nullptr);
  std::string text = kScheme + escaped(Ref<gchar>{channel}.get());
  char separator = '?';
  for (GParamSpec* const spec : parameters_of(element)) {
    Value value(spec);
    g_object_get_property(element, spec->name, value.get());
    if (g_param_value_defaults(spec, value.get())) continue;
    text += std::exchange(separator, '&') + std::string(spec->name) + "=" +
            escaped(text_of(value.get()).c_str());
  }
  return g_strdup(text.c_str());
}

GstURIType get_type(GType type) {
  return g_type_is_a(type, GST_TYPE_BASE_SINK) ? GST_URI_SINK : GST_URI_SRC;
}

const gchar* const* get_protocols(GType) {
  static const gchar* const protocols[] = {"possum", nullptr};
  return protocols;
}

}  // namespace

void init_uri_handler(gpointer interface, gpointer) {
  auto* const handler = static_cast<GstURIHandlerInterface*>(interface);
  handler->get_type = get_type;
  handler->get_protocols = get_protocols;
  handler->get_uri = get_uri;
  handler->set_uri = set_uri;
}

}  // namespace possum
