// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possumsink dropped into an application's own pipeline: a branch of a tee that comes and
// goes while the pipeline plays, and whose troubles are not the application's.
#include "sharing.h"

#include <stdexcept>

namespace {

// errorignore: otherwise an error of the sink goes back through the tee and ends the
// source. queue: a thread of its own, with room for two frames, so that the other
// branches never wait for this one. async=false: a sink that joins a playing pipeline
// must not make it wait for a first frame.
constexpr const char* kBranch =
    "errorignore ! "
    "queue leaky=downstream max-size-buffers=2 max-size-bytes=0 max-size-time=0 ! "
    "possumsink name=sink async=false";

// Transfer full.
GstElement* make_branch() {
  g_autoptr(GError) error = nullptr;
  GstElement* branch = gst_parse_bin_from_description_full(
      kBranch, TRUE, nullptr, GST_PARSE_FLAG_FATAL_ERRORS, &error);
  if (!branch) throw std::runtime_error(error->message);
  return GST_ELEMENT(gst_object_ref_sink(branch));
}

void post(gpointer element, GstStructure* what) {
  gst_element_post_message(GST_ELEMENT(element),
                           gst_message_new_application(GST_OBJECT(element), what));
}

}  // namespace

Sharing::Sharing(GstElement* pipeline, GstElement* tee, const std::string& channel)
    : pipeline_(pipeline), tee_(tee), branch_(make_branch()) {
  g_autoptr(GstElement) sink = gst_bin_get_by_name(GST_BIN(branch_), "sink");
  sink_ = sink;
  g_object_set(sink_, "channel", channel.c_str(), nullptr);
  g_signal_connect(sink_, "reader-attached", G_CALLBACK(reader_attached), nullptr);
  g_signal_connect(sink_, "reader-detached", G_CALLBACK(reader_detached), nullptr);
}

Sharing::~Sharing() {
  if (active_) finish();
  gst_object_unref(branch_);
}

void Sharing::start() {
  active_ = true;
  // Locked, so that the pipeline does not fail with a branch that cannot start.
  gst_element_set_locked_state(branch_, TRUE);
  gst_bin_add(GST_BIN(pipeline_), branch_);
  tee_pad_ = gst_element_request_pad_simple(tee_, "src_%u");
  // Why it cannot start, if so, is on the bus.
  if (!gst_element_sync_state_with_parent(branch_)) return;
  gst_element_set_locked_state(branch_, FALSE);
  g_autoptr(GstPad) branch_pad = gst_element_get_static_pad(branch_, "sink");
  gst_pad_link(tee_pad_, branch_pad);
}

bool Sharing::stop() {
  if (!active_ || stopping_) return false;
  stopping_ = true;
  // When no frame is on its way through the pad: now in this thread, or soon in the
  // streaming thread.
  gst_pad_add_probe(tee_pad_, GST_PAD_PROBE_TYPE_IDLE, unlink, pipeline_, nullptr);
  return true;
}

// A state must not be changed here, so the main loop is asked to go on.
GstPadProbeReturn Sharing::unlink(GstPad* pad, GstPadProbeInfo*, gpointer pipeline) {
  g_autoptr(GstPad) peer = gst_pad_get_peer(pad);
  if (peer) gst_pad_unlink(pad, peer);
  post(pipeline, gst_structure_new_empty("sharing-unlinked"));
  return GST_PAD_PROBE_REMOVE;
}

void Sharing::finish() {
  gst_element_set_locked_state(branch_, TRUE);
  gst_element_set_state(branch_, GST_STATE_NULL);
  gst_bin_remove(GST_BIN(pipeline_), branch_);
  gst_element_release_request_pad(tee_, tee_pad_);
  gst_clear_object(&tee_pad_);
  active_ = false;
  stopping_ = false;
}

bool Sharing::owns(GstMessage* message) const {
  return gst_object_has_as_ancestor(GST_MESSAGE_SRC(message), GST_OBJECT(branch_));
}

GstStructure* Sharing::statistics() const {
  GstStructure* stats = nullptr;
  g_object_get(sink_, "stats", &stats, nullptr);
  return stats;
}

// Both signals come from a thread of the sink's own; the bus brings them to the main
// loop.
void Sharing::reader_attached(GstElement* sink, guint index, guint pid, gpointer) {
  post(sink, gst_structure_new("reader-attached", "index", G_TYPE_UINT, index, "pid",
                               G_TYPE_UINT, pid, nullptr));
}

void Sharing::reader_detached(GstElement* sink, guint index, const gchar* reason,
                              gpointer) {
  post(sink, gst_structure_new("reader-detached", "index", G_TYPE_UINT, index, "reason",
                               G_TYPE_STRING, reason, nullptr));
}
