// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The plugin linked into a program, which finds no plugin of that name on disk.
#include "support/suite.h"

G_BEGIN_DECLS
GST_PLUGIN_STATIC_DECLARE(possum);
GST_ELEMENT_REGISTER_DECLARE(possumsrc)
G_END_DECLS

namespace {

bool exists(const char* factory) {
  return Ref<GstObject>{GST_OBJECT_CAST(gst_element_factory_find(factory))} != nullptr;
}

}  // namespace

TEST(a_program_registers_one_element) {
  fail_if(exists("possumsrc"));
  fail_unless(GST_ELEMENT_REGISTER(possumsrc, nullptr));
  fail_unless(exists("possumsrc"));
  fail_if(exists("possumsink"));
}

TEST(a_program_registers_all_and_frames_cross) {
  GST_PLUGIN_STATIC_REGISTER(possum);
  const Ref<GstObject> plugin{
      GST_OBJECT_CAST(gst_registry_find_plugin(gst_registry_get(), "possum"))};
  fail_unless(plugin != nullptr);
  fail_unless(gst_plugin_get_filename(GST_PLUGIN(plugin.get())) == nullptr);
  Producer producer;
  Consumer consumer(producer.channel());
  producer.start().push(1);
  consumer.start();
  expect_equal(consumer.pull().value(), 1);
}
