// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possumsink dropped into an application's own pipeline: a branch of a tee that comes and
// goes while the pipeline plays, and whose troubles are not the application's.
#pragma once

#include <gst/gst.h>

#include <string>

// Used by the thread that runs the main loop only.
class Sharing {
 public:
  // Borrows both; `tee` is in `pipeline` and feeds something else, too. Throws
  // std::runtime_error if an element is missing.
  Sharing(GstElement* pipeline, GstElement* tee, const std::string& channel);
  ~Sharing();
  Sharing(const Sharing&) = delete;
  Sharing& operator=(const Sharing&) = delete;

  // From the next frame on. Waits up to two seconds for a name that another writer still
  // holds. An error comes as a message on the bus, see owns().
  void start();
  // Readers keep what they hold and wait for the next writer. False if nothing is shared,
  // or not for long; otherwise the application message "sharing-unlinked" comes, then
  // finish() is to be called.
  bool stop();
  void finish();

  bool active() const { return active_; }
  // Does this message come from the branch?
  bool owns(GstMessage* message) const;
  // Transfer full.
  GstStructure* statistics() const;

 private:
  static void reader_attached(GstElement* sink, guint index, guint pid, gpointer);
  static void reader_detached(GstElement* sink, guint index, const gchar* reason,
                              gpointer);
  static GstPadProbeReturn unlink(GstPad* pad, GstPadProbeInfo*, gpointer pipeline);

  GstElement* const pipeline_;
  GstElement* const tee_;
  GstElement* const branch_;    // a reference; in the pipeline while active
  GstElement* sink_ = nullptr;  // owned by the branch
  GstPad* tee_pad_ = nullptr;   // a reference, while active
  bool active_ = false;
  bool stopping_ = false;
};
