// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The plugin linked into a program, which finds no plugin of that name on disk.
#include "support/elements.h"

// Last: it includes gstcheck.h.
#include "support/suite.h"

using namespace elements;

G_BEGIN_DECLS
GST_PLUGIN_STATIC_DECLARE(possum);
GST_ELEMENT_REGISTER_DECLARE(possumsrc)
G_END_DECLS

namespace {

bool exists(const char* factory) {
  return Ref<GstObject>{GST_OBJECT_CAST(gst_element_factory_find(factory))} != nullptr;
}

}  // namespace

GST_START_TEST(a_program_registers_one_element) {
  fail_if(exists("possumsrc"));
  fail_unless(GST_ELEMENT_REGISTER(possumsrc, nullptr));
  fail_unless(exists("possumsrc"));
  fail_if(exists("possumsink"));
}
GST_END_TEST

GST_START_TEST(a_program_registers_all_and_frames_cross) {
  GST_PLUGIN_STATIC_REGISTER(possum);
  const Ref<GstObject> plugin{
      GST_OBJECT_CAST(gst_registry_find_plugin(gst_registry_get(), "possum"))};
  fail_unless(plugin != nullptr);
  fail_unless(gst_plugin_get_filename(GST_PLUGIN(plugin.get())) == nullptr);
  const std::string channel = unique_channel();
  Producer producer(channel);
  Consumer consumer(channel);
  producer.start().push(1);
  consumer.start();
  expect_equal(consumer.pull().value(), 1);
}
GST_END_TEST

static Suite* linked_suite() {
  Suite* suite = suite_create("linked");
  TCase* tcase = new_case(suite, "linked");
  tcase_add_test(tcase, a_program_registers_one_element);
  tcase_add_test(tcase, a_program_registers_all_and_frames_cross);
  return suite;
}

GST_CHECK_MAIN(linked)
