// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A pipeline of one possumsink that the test feeds by hand: each push returns when the
// sink has dealt with the frame.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "frames.h"
#include "leftovers.h"
#include "pipeline.h"

namespace elements {

// What the elements before the sink would answer to a LATENCY query.
struct Upstream {
  bool live = false;
  GstClockTime latency = 0;
};

// What a sink proposes, active; `adjust` may change its configuration.
class Pool {
 public:
  using Adjust = std::function<void(GstStructure*)>;
  Pool(GstQuery* allocation, const Adjust& adjust) {
    GstBufferPool* proposed = nullptr;
    gst_query_parse_nth_allocation_pool(allocation, 0, &proposed, nullptr, nullptr,
                                        nullptr);
    require(proposed != nullptr, "no pool is proposed");
    pool_.reset(proposed);
    if (adjust) {
      GstStructure* config = gst_buffer_pool_get_config(proposed);
      adjust(config);
      require(gst_buffer_pool_set_config(proposed, config), "the pool refuses a config");
    }
    require(gst_buffer_pool_set_active(proposed, TRUE), "the pool cannot start");
  }
  ~Pool() { stop(); }
  Pool(Pool&&) = default;
  void stop() const {
    if (pool_) gst_buffer_pool_set_active(pool_.get(), FALSE);
  }
  Ref<GstBuffer> acquire() const { return elements::acquire(pool_.get()); }
  Ref<GstBuffer> acquire(int value) const {
    return elements::acquire(pool_.get(), static_cast<guint8>(value));
  }

 private:
  Ref<GstBufferPool> pool_;
};

class Producer {
 public:
  explicit Producer(const std::string& channel = support::unique_channel(),
                    const std::string& properties = "", Upstream upstream = {})
      : channel_(channel), upstream_(upstream) {
    gst_bin_add(pipeline_.bin(), sink());
    pad_ = new_peer(sink(), "sink", this);
    set_properties(sink(), "channel=" + channel + " sync=false " + properties);
    gst_pad_set_query_function(pad(), on_query);
    gst_pad_set_event_function(pad(), on_event);
  }
  ~Producer() { stop(); }

  const std::string& channel() const { return channel_; }
  GstElement* sink() const { return sink_.get(); }
  GstPad* pad() const { return pad_.get(); }
  const Pipeline& pipeline() const { return pipeline_; }
  void upstream(Upstream now) { upstream_ = now; }

  // On the way to PLAYING, which the first push brings it to.
  Producer& start(const std::string& caps = kSmall) {
    pipeline_.set_state(GST_STATE_PLAYING);
    begin(caps);
    return *this;
  }
  // The same without a word of what comes: the test sends all events itself.
  void open() {
    pipeline_.set_state(GST_STATE_PLAYING);
    gst_pad_set_active(pad(), TRUE);
  }
  // On the way to PAUSED; the first push waits there.
  Producer& pause(const std::string& caps = kSmall) {
    pipeline_.set_state(GST_STATE_PAUSED);
    begin(caps);
    return *this;
  }
  // May be started again.
  void stop() {
    pipeline_.stop();
    gst_pad_set_active(pad(), FALSE);
  }

  bool event(GstEvent* event) const { return gst_pad_push_event(pad(), event); }
  void caps(const std::string& text) const {
    require(event(gst_event_new_caps(caps_of(text).get())), "refused: " + text);
  }
  void segment(const GstSegment& segment) const {
    require(event(gst_event_new_segment(&segment)), "the segment is refused");
  }
  void eos() const { require(event(gst_event_new_eos()), "EOS is refused"); }
  // As a flushing seek does, with the segment that follows it.
  void flush() const {
    event(gst_event_new_flush_start());
    event(gst_event_new_flush_stop(TRUE));
    begin_segment();
  }

  GstFlowReturn try_push(Ref<GstBuffer> buffer) const {
    return gst_pad_push(pad(), buffer.release());
  }
  void push(Ref<GstBuffer> buffer) const {
    const GstFlowReturn flow = try_push(std::move(buffer));
    require(flow == GST_FLOW_OK, std::string("push: ") + gst_flow_get_name(flow));
  }
  // A new frame in ordinary memory.
  void push(guint8 value) const { push(new_frame(value)); }
  // Keeps the caller's reference.
  void push_kept(GstBuffer* buffer) const { push(possum::share(buffer)); }

  guint64 stat(const char* field) const { return elements::stat(sink(), field); }
  void expect_stats(const Stats& wanted, Where where = Where::here()) const {
    elements::expect_stats(sink(), wanted, where);
  }

  Ref<GstQuery> query_allocation(bool need_pool = true) const {
    const Ref<GstCaps> caps{gst_pad_get_current_caps(pad())};
    Ref<GstQuery> query{gst_query_new_allocation(caps.get(), need_pool)};
    require(gst_pad_peer_query(pad(), query.get()), "ALLOCATION is not answered");
    return query;
  }
  Pool pool(const Pool::Adjust& adjust = {}) const {
    return {query_allocation().get(), adjust};
  }

 private:
  void begin(const std::string& caps) const {
    gst_pad_set_active(pad(), TRUE);
    event(gst_event_new_stream_start("test"));
    this->caps(caps);
    begin_segment();
  }
  void begin_segment() const {
    GstSegment whole;
    gst_segment_init(&whole, GST_FORMAT_TIME);
    segment(whole);
  }
  static gboolean on_query(GstPad* pad, GstObject* parent, GstQuery* query) {
    if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY) {
      return gst_pad_query_default(pad, parent, query);
    }
    const auto* self = static_cast<Producer*>(gst_pad_get_element_private(pad));
    gst_query_set_latency(query, self->upstream_.live, self->upstream_.latency,
                          GST_CLOCK_TIME_NONE);
    return TRUE;
  }
  static gboolean on_event(GstPad*, GstObject*, GstEvent* event) {
    gst_event_unref(event);
    return TRUE;
  }

  const std::string channel_;
  Upstream upstream_;
  Pipeline pipeline_;
  const Ref<GstElement> sink_ = make("possumsink", "sink");
  Ref<GstPad> pad_;
};

}  // namespace elements
