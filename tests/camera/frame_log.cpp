// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// frame-log DESCRIPTION: runs a pipeline until EOS or an error; prints "running", then a
// line for every buffer that leaves the element named "log": offset, PTS, size, checksum.
// Ends with the stats of every possum element, one line each. So two processes can be
// compared.
#include <gst/gst.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>

namespace {

// FNV-1a over 64-bit words, the tail bytewise: quick enough for an emulated machine.
std::uint64_t checksum(const guint8* data, gsize size) {
  std::uint64_t sum = 14695981039346656037u;
  for (gsize i = 0; i < size; ++i) sum = (sum ^ data[i]) * 1099511628211u;
  return sum;
}

GstPadProbeReturn log_buffer(GstPad*, GstPadProbeInfo* info, gpointer) {
  GstBuffer* buffer = GST_PAD_PROBE_INFO_BUFFER(info);
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_READ)) return GST_PAD_PROBE_OK;
  std::printf("frame %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GSIZE_FORMAT
              " %016" PRIx64 "\n",
              GST_BUFFER_OFFSET(buffer), GST_BUFFER_PTS(buffer), map.size,
              checksum(map.data, map.size));
  std::fflush(stdout);
  gst_buffer_unmap(buffer, &map);
  return GST_PAD_PROBE_OK;
}

void print_stats(const GValue* item, gpointer) {
  auto* element = GST_ELEMENT(g_value_get_object(item));
  GstElementFactory* factory = gst_element_get_factory(element);
  if (factory == nullptr ||
      !g_str_has_prefix(gst_plugin_feature_get_name(factory), "possum")) {
    return;
  }
  GstStructure* stats = nullptr;
  g_object_get(element, "stats", &stats, nullptr);
  gchar* text = gst_structure_to_string(stats);
  std::printf("stats %s\n", text);
  g_free(text);
  gst_structure_free(stats);
}

bool run(GstElement* pipeline) {
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  std::printf("running\n");
  std::fflush(stdout);
  GstBus* bus = gst_element_get_bus(pipeline);
  GstMessage* message = gst_bus_timed_pop_filtered(
      bus, GST_CLOCK_TIME_NONE,
      static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
  const bool eos = GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS;
  if (!eos) {
    GError* error = nullptr;
    gst_message_parse_error(message, &error, nullptr);
    std::fprintf(stderr, "frame-log: %s\n", error->message);
    g_error_free(error);
  }
  gst_message_unref(message);
  gst_object_unref(bus);
  return eos;
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  GError* error = nullptr;
  GstElement* pipeline = argc == 2 ? gst_parse_launch(argv[1], &error) : nullptr;
  if (pipeline == nullptr || error != nullptr) {
    std::fprintf(stderr, "frame-log: %s\n", error ? error->message : "no pipeline");
    return 2;
  }
  GstElement* log = gst_bin_get_by_name(GST_BIN(pipeline), "log");
  GstPad* pad = gst_element_get_static_pad(log, "src");
  gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, log_buffer, nullptr, nullptr);
  const bool eos = run(pipeline);
  GstIterator* elements = gst_bin_iterate_recurse(GST_BIN(pipeline));
  gst_iterator_foreach(elements, print_stats, nullptr);
  gst_iterator_free(elements);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(pad);
  gst_object_unref(log);
  gst_object_unref(pipeline);
  return eos ? 0 : 1;
}
