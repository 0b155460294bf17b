// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A pipeline of one possumsrc whose frames the test takes one by one. What downstream
// says to queries, and how fast it takes frames, is up to the test.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "frames.h"
#include "leftovers.h"
#include "pipeline.h"

namespace elements {

struct Downstream {
  bool video_meta = true;
  std::string accepts;  // caps; empty: everything
};

class Consumer {
 public:
  explicit Consumer(const std::string& channel = support::unique_channel(),
                    const std::string& properties = "", Downstream downstream = {})
      : channel_(channel), downstream_(std::move(downstream)) {
    gst_bin_add(pipeline_.bin(), src());
    pad_ = new_peer(src(), "src", this);
    set_properties(src(), "channel=" + channel + " " + properties);
    gst_pad_set_chain_function(pad(), on_buffer);
    gst_pad_set_event_function(pad(), on_event);
    gst_pad_set_query_function(pad(), on_query);
  }
  ~Consumer() { stop(); }

  const std::string& channel() const { return channel_; }
  GstElement* src() const { return src_.get(); }
  GstPad* pad() const { return pad_.get(); }
  const Pipeline& pipeline() const { return pipeline_; }

  Consumer& start(GstState state = GST_STATE_PLAYING) {
    {
      const std::scoped_lock lock(mutex_);
      eos_ = false;
      has_segment_ = false;
      caps_.reset();
    }
    gst_pad_set_active(pad(), TRUE);
    pipeline_.set_state(state);
    return *this;
  }
  // What has arrived can still be pulled. May be started again.
  void stop() {
    let_through();
    pipeline_.stop();
    gst_pad_set_active(pad(), FALSE);
  }

  Frame pull() {
    const auto lock = wait_for("a frame", [this] { return !frames_.empty(); });
    Frame frame = std::move(frames_.front());
    frames_.pop_front();
    return frame;
  }
  // Of the next frame, which is let go at once.
  int pull_value() { return pull().value(); }
  void expect_values(const std::vector<int>& values, Where where = Where::here()) {
    for (const int value : values) expect_equal(pull_value(), value, where);
  }
  void expect_values(int first, int last, Where where = Where::here()) {
    for (int value = first; value <= last; ++value) {
      expect_equal(pull_value(), value, where);
    }
  }
  // Those before it are passed over.
  void pull_until(int value) {
    while (pull_value() != value) {
    }
  }

  // From here on downstream stays busy with the next frame, until let_through().
  void hold_up() {
    const std::scoped_lock lock(mutex_);
    held_up_ = true;
  }
  void wait_held_up() {
    wait_for("a frame", [this] { return stuck_; });
  }
  void let_through() {
    const std::scoped_lock lock(mutex_);
    held_up_ = false;
    changed_.notify_all();
  }

  // Until caps and a segment have come, with a frame or before one.
  Ref<GstCaps> wait_caps() {
    const auto lock =
        wait_for("caps", [this] { return caps_ != nullptr && has_segment_; });
    return possum::share(caps_.get());
  }
  bool has_caps() const {
    const std::scoped_lock lock(mutex_);
    return caps_ != nullptr;
  }

  void wait_eos() {
    wait_for("EOS", [this] { return eos_; });
  }
  // Arrived, not yet pulled.
  std::size_t waiting() const {
    const std::scoped_lock lock(mutex_);
    return frames_.size();
  }
  void downstream(Downstream now) {
    const std::scoped_lock lock(mutex_);
    downstream_ = std::move(now);
  }

  guint64 stat(const char* field) const { return elements::stat(src(), field); }
  void expect_stats(const Stats& wanted, Where where = Where::here()) const {
    elements::expect_stats(src(), wanted, where);
  }

  struct Latency {
    bool live;
    GstClockTime min;
    GstClockTime max;
  };
  Latency latency() const {
    const Ref<GstQuery> query{gst_query_new_latency()};
    require(gst_element_query(src(), query.get()), "LATENCY is not answered");
    gboolean live = FALSE;
    Latency answer{};
    gst_query_parse_latency(query.get(), &live, &answer.min, &answer.max);
    answer.live = live;
    return answer;
  }
  Ref<GstCaps> query_caps(GstCaps* filter = nullptr) const {
    return Ref<GstCaps>{gst_pad_peer_query_caps(pad(), filter)};
  }

 private:
  template <class Condition>
  std::unique_lock<std::mutex> wait_for(const char* what, Condition&& condition) {
    std::unique_lock lock(mutex_);
    const bool came = changed_.wait_for(lock, patience(), condition);
    if (!came) pipeline_.expect_no_error();
    require(came, std::string("never came: ") + what);
    return lock;
  }
  static Consumer* of(GstPad* pad) {
    return static_cast<Consumer*>(gst_pad_get_element_private(pad));
  }
  static GstFlowReturn on_buffer(GstPad* pad, GstObject*, GstBuffer* buffer) {
    return of(pad)->take(Ref<GstBuffer>{buffer});
  }
  GstFlowReturn take(Ref<GstBuffer> buffer) {
    Frame frame{std::move(buffer), Ref<GstCaps>{gst_pad_get_current_caps(pad())}};
    const Ref<GstEvent> event{gst_pad_get_sticky_event(pad(), GST_EVENT_SEGMENT, 0)};
    require(event != nullptr, "a frame without a segment");
    gst_event_copy_segment(event.get(), &frame.segment);
    std::unique_lock lock(mutex_);
    frames_.push_back(std::move(frame));
    stuck_ = held_up_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_up_; });
    stuck_ = false;
    return GST_FLOW_OK;
  }
  static gboolean on_event(GstPad* pad, GstObject*, GstEvent* event) {
    Consumer* self = of(pad);
    const std::scoped_lock lock(self->mutex_);
    if (GST_EVENT_TYPE(event) == GST_EVENT_EOS) self->eos_ = true;
    if (GST_EVENT_TYPE(event) == GST_EVENT_SEGMENT) self->has_segment_ = true;
    if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS) {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      self->caps_ = possum::share(caps);
    }
    self->changed_.notify_all();
    gst_event_unref(event);
    return TRUE;
  }
  Ref<GstCaps> accepted() const {
    const std::scoped_lock lock(mutex_);
    if (downstream_.accepts.empty()) return Ref<GstCaps>{gst_caps_new_any()};
    return caps_of(downstream_.accepts);
  }
  void answer_caps(GstQuery* query) const {
    Ref<GstCaps> answer = accepted();
    GstCaps* filter = nullptr;
    gst_query_parse_caps(query, &filter);
    if (filter) answer.reset(gst_caps_intersect(filter, answer.get()));
    gst_query_set_caps_result(query, answer.get());
  }
  void answer_accept_caps(GstQuery* query) const {
    GstCaps* caps = nullptr;
    gst_query_parse_accept_caps(query, &caps);
    gst_query_set_accept_caps_result(query, gst_caps_is_subset(caps, accepted().get()));
  }
  gboolean answer_allocation(GstQuery* query) const {
    const std::scoped_lock lock(mutex_);
    if (!downstream_.video_meta) return FALSE;
    gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
    return TRUE;
  }
  static gboolean on_query(GstPad* pad, GstObject* parent, GstQuery* query) {
    switch (GST_QUERY_TYPE(query)) {
      case GST_QUERY_CAPS:
        of(pad)->answer_caps(query);
        return TRUE;
      case GST_QUERY_ACCEPT_CAPS:
        of(pad)->answer_accept_caps(query);
        return TRUE;
      case GST_QUERY_ALLOCATION:
        return of(pad)->answer_allocation(query);
      default:
        return gst_pad_query_default(pad, parent, query);
    }
  }

  const std::string channel_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Downstream downstream_;  // guarded by mutex_, as all below
  std::deque<Frame> frames_;
  bool held_up_ = false;
  bool stuck_ = false;
  bool eos_ = false;
  bool has_segment_ = false;
  Ref<GstCaps> caps_;  // of the last event

  Pipeline pipeline_;
  const Ref<GstElement> src_ = make("possumsrc", "src");
  Ref<GstPad> pad_;
};

}  // namespace elements
