// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "mutability.h"

#include "refs.h"

namespace possum {

bool is_stopped(GstElement* element) {
  return GST_STATE(element) <= GST_STATE_READY &&
         GST_STATE_PENDING(element) <= GST_STATE_READY;
}

bool may_set(GstElement* element, const GParamSpec* spec) {
  return (spec->flags & GST_PARAM_MUTABLE_PLAYING) != 0 || is_stopped(element);
}

void warn_not_set(GstElement* element, const GParamSpec* spec) {
  const Ref<gchar> name{gst_object_get_name(GST_OBJECT_CAST(element))};
  GST_ELEMENT_WARNING(
      element, RESOURCE, SETTINGS,
      ("%s stays as it is: it cannot be changed while %s runs. Set %s to READY or NULL "
       "first.",
       spec->name, name.get(), name.get()),
      (nullptr));
}

}  // namespace possum
