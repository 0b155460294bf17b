// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Who owns what of GStreamer's things, said by a type. A Ref adopts (transfer full) and
// gives up its reference when it dies; borrowing (transfer none) stays a raw pointer.
#pragma once

#include <gst/gst.h>

#include <memory>

namespace possum {

struct Unref {
  void operator()(GstCaps* p) const noexcept { gst_caps_unref(p); }
  void operator()(GstBuffer* p) const noexcept { gst_buffer_unref(p); }
  void operator()(GstBufferList* p) const noexcept { gst_buffer_list_unref(p); }
  void operator()(GstMemory* p) const noexcept { gst_memory_unref(p); }
  void operator()(GstEvent* p) const noexcept { gst_event_unref(p); }
  void operator()(GstQuery* p) const noexcept { gst_query_unref(p); }
  void operator()(GstMessage* p) const noexcept { gst_message_unref(p); }
  void operator()(GstTagList* p) const noexcept { gst_tag_list_unref(p); }
  void operator()(GstStructure* p) const noexcept { gst_structure_free(p); }
  void operator()(gchar* p) const noexcept { g_free(p); }
  void operator()(GstObject* p) const noexcept { gst_object_unref(p); }
  void operator()(GstElement* p) const noexcept { gst_object_unref(p); }
  void operator()(GstPad* p) const noexcept { gst_object_unref(p); }
  void operator()(GstClock* p) const noexcept { gst_object_unref(p); }
  void operator()(GstBus* p) const noexcept { gst_object_unref(p); }
  void operator()(GstBufferPool* p) const noexcept { gst_object_unref(p); }
  void operator()(GstAllocator* p) const noexcept { gst_object_unref(p); }
};

template <class T>
using Ref = std::unique_ptr<T, Unref>;

// Takes one reference more: for a borrowed pointer that is to be kept.
inline Ref<GstCaps> share(GstCaps* p) { return Ref<GstCaps>{gst_caps_ref(p)}; }
inline Ref<GstBuffer> share(GstBuffer* p) { return Ref<GstBuffer>{gst_buffer_ref(p)}; }
inline Ref<GstMemory> share(GstMemory* p) { return Ref<GstMemory>{gst_memory_ref(p)}; }

// An object that others own. Its get() holds it, or is empty when it is gone.
template <class T>
class WeakRef {
 public:
  explicit WeakRef(T* object) { g_weak_ref_init(&ref_, object); }
  ~WeakRef() { g_weak_ref_clear(&ref_); }
  WeakRef(const WeakRef&) = delete;
  WeakRef& operator=(const WeakRef&) = delete;
  Ref<GstObject> get() {
    return Ref<GstObject>{static_cast<GstObject*>(g_weak_ref_get(&ref_))};
  }

 private:
  GWeakRef ref_;
};

// Holds GST_OBJECT_LOCK for a scope.
class ObjectLock {
 public:
  explicit ObjectLock(gpointer object) : object_(GST_OBJECT_CAST(object)) {
    GST_OBJECT_LOCK(object_);
  }
  ~ObjectLock() { GST_OBJECT_UNLOCK(object_); }
  ObjectLock(const ObjectLock&) = delete;
  ObjectLock& operator=(const ObjectLock&) = delete;

 private:
  GstObject* object_;
};

}  // namespace possum
