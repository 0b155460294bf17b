// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. The fields are described where the properties are installed.
#include "stats.h"

#include <algorithm>

#include "times.h"

namespace possum {
namespace {

const char* policy_name(const transport::ReaderInfo& reader) {
  if (reader.demoted) return "demoted";
  switch (reader.policy) {
    case transport::layout::Policy::drop_newest:
      return "upstream";
    case transport::layout::Policy::blocking:
      return "none";
    case transport::layout::Policy::drop_oldest:
      break;
  }
  return "downstream";
}

void append_reader(GValue* list, const transport::ReaderInfo& reader) {
  GValue item = G_VALUE_INIT;
  g_value_init(&item, GST_TYPE_STRUCTURE);
  g_value_take_boxed(
      &item,
      gst_structure_new("reader", "index", G_TYPE_UINT, reader.index, "pid", G_TYPE_UINT,
                        reader.pid, "policy", G_TYPE_STRING, policy_name(reader),
                        "waiting", G_TYPE_UINT, reader.waiting, "held", G_TYPE_UINT,
                        reader.held, "delivered", G_TYPE_UINT64, reader.delivered,
                        "dropped", G_TYPE_UINT64, reader.dropped, nullptr));
  gst_value_array_append_and_take_value(list, &item);
}

void set_readers(GstStructure* stats, const transport::WriterStatistics& writer) {
  GValue list = G_VALUE_INIT;
  g_value_init(&list, GST_TYPE_ARRAY);
  for (const transport::ReaderInfo& reader : writer.readers) append_reader(&list, reader);
  gst_structure_take_value(stats, "readers", &list);
}

void set_metas(GstStructure* stats, const SinkCounters::Values& values) {
  GstStructure* metas = gst_structure_new_empty("metas-not-carried");
  for (const auto& [name, count] : values.metas) {
    gst_structure_set(metas, name.c_str(), G_TYPE_UINT64, count, nullptr);
  }
  gst_structure_set(stats, "metas-not-carried", GST_TYPE_STRUCTURE, metas, nullptr);
  gst_structure_free(metas);
}

// GstBaseSink counts every frame that render() returned OK for.
void correct_base(GstStructure* stats, std::uint64_t dropped_here) {
  guint64 rendered = 0;
  guint64 dropped = 0;
  gst_structure_get_uint64(stats, "rendered", &rendered);
  gst_structure_get_uint64(stats, "dropped", &dropped);
  gst_structure_set(stats, "dropped", G_TYPE_UINT64, dropped + dropped_here, "rendered",
                    G_TYPE_UINT64, rendered - std::min(rendered, dropped_here), nullptr);
}

}  // namespace

void SinkCounters::count_dropped() {
  const MutexLock lock(lock_);
  ++values_.dropped;
}

void SinkCounters::count_discarded() {
  const MutexLock lock(lock_);
  ++values_.dropped;
  ++values_.discarded;
}

bool SinkCounters::count_meta(const std::string& name) {
  const MutexLock lock(lock_);
  return values_.metas[name]++ == 0;
}

SinkCounters::Values SinkCounters::values() const {
  const MutexLock lock(lock_);
  return values_;
}

GstStructure* sink_stats(GstStructure* base, const transport::WriterStatistics& writer,
                         const SinkCounters::Values& counted) {
  correct_base(base, counted.dropped);
  gst_structure_set(base, "frames", G_TYPE_UINT64, writer.frames, "bytes", G_TYPE_UINT64,
                    writer.bytes, "zero-copy", G_TYPE_UINT64, writer.zero_copy, "copied",
                    G_TYPE_UINT64, writer.copied, "no-slot", G_TYPE_UINT64,
                    writer.no_slot, "discarded", G_TYPE_UINT64, counted.discarded,
                    "slots", G_TYPE_UINT, writer.slots, "held", G_TYPE_UINT, writer.held,
                    nullptr);
  set_metas(base, counted);
  set_readers(base, writer);
  return base;
}

GstStructure* src_stats(const transport::ReaderStatistics& reader,
                        const SrcCounters& counted) {
  const std::uint64_t reconnects = reader.attachments > 0 ? reader.attachments - 1 : 0;
  return gst_structure_new(
      "application/x-possum-src-stats",                                               //
      "frames", G_TYPE_UINT64, static_cast<guint64>(reader.frames),                   //
      "bytes", G_TYPE_UINT64, static_cast<guint64>(reader.bytes),                     //
      "missed", G_TYPE_UINT64, static_cast<guint64>(reader.missed),                   //
      "copied", G_TYPE_UINT64, static_cast<guint64>(reader.copied + counted.copied),  //
      "reconnects", G_TYPE_UINT64, static_cast<guint64>(reconnects),                  //
      "age", G_TYPE_UINT64, to_clock_time(counted.age_ns),                            //
      "writer-pid", G_TYPE_UINT, static_cast<guint>(reader.writer_pid), nullptr);
}

}  // namespace possum
