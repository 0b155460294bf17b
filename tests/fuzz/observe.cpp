// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Somebody looks at a channel, as the command possum and the device provider do, that was
// damaged before or changes meanwhile. What is seen is plain, fits together and can be
// shown; nothing is mapped; once the channel is in order it looks like that.
#include "inspect/observer.h"

#include "base/text.h"
#include "flipper.h"
#include "scene.h"
#include "tools/table.h"
#include "tools/view.h"

using namespace fuzz;
using possum::inspect::ChannelCondition;
using possum::inspect::ObservedChannel;
using possum::inspect::ObservedReader;

namespace {

constexpr std::size_t kMostCells = 80;  // of a column

ObservedChannel look(const Scene& scene) {
  const std::size_t mappings = guarded_mappings();
  const Bounded bounded("look");
  ObservedChannel seen = possum::inspect::observe_channel(scene.channel());
  FUZZ_CHECK(guarded_mappings() == mappings);
  return seen;
}

void expect_shown(const std::string& text) {
  FUZZ_CHECK(possum::is_plain_text(text));
  FUZZ_CHECK(tool::width_of(text) <= kMostCells);
}

void use(const ObservedReader& reader, std::uint32_t there) {
  FUZZ_CHECK(reader.index < layout::kReaders);
  FUZZ_CHECK(((reader.taken | reader.offered) & ~there) == 0);
  FUZZ_CHECK(reader.depth >= 1 && reader.depth <= layout::kSlots);
  expect_shown(reader.name);
  expect_shown(tool::policy_text(reader));
  expect_shown(tool::state_text(reader));
}

void use(const ObservedChannel& seen) {
  // Somebody has the name, and holds its lock.
  FUZZ_CHECK(seen.condition != ChannelCondition::absent &&
             seen.condition != ChannelCondition::dead &&
             seen.condition != ChannelCondition::unreadable);
  FUZZ_CHECK(possum::is_plain_text(seen.problem + seen.frame_problem));
  FUZZ_CHECK(seen.live() || seen.condition == ChannelCondition::setting_up ||
             !seen.problem.empty());
  std::uint32_t there = 0;
  for (const possum::inspect::ObservedSlot& slot : seen.slots) {
    FUZZ_CHECK(slot.index < layout::kSlots && slot.object != 0);
    there |= 1u << slot.index;
  }
  for (const ObservedReader& reader : seen.readers) use(reader, there);
  FUZZ_CHECK(seen.attached() <= seen.readers.size());
  if (const auto age = tool::age_ns(seen)) {
    FUZZ_CHECK(*age >= 0);
    expect_shown(tool::age_text(*age));
  }
  expect_shown(seen.writer);
  expect_shown(tool::bytes_text(seen.pool_bytes()));
  expect_shown(tool::picture_size(seen));
  expect_shown(tool::format(seen));
  if (!seen.frame) return;
  FUZZ_CHECK(seen.live() && seen.frame->slot < layout::kSlots && seen.frame->seq != 0);
  FUZZ_CHECK(seen.frame->bytes <= kLargest);  // no more than the object has
  FUZZ_CHECK(possum::is_plain_text(seen.frame->caps));
  expect_shown(tool::caps_field(seen.frame->caps, "framerate"));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Scene scene(own_channel("observe"));
  Input in(data, size);
  const unsigned how = in.below(256);
  scene.offer(how & 0xf);
  if (how < 0x40) {
    const Flipper flipper(in, scene.areas());
    use(look(scene));
  } else {
    for (int lies = 0; lies < 24 && !in.empty(); ++lies) lie(scene, in);
    scene.cut();
    use(look(scene));
  }
  scene.restore();
  scene.offer(1);
  const ObservedChannel honest = look(scene);
  use(honest);
  FUZZ_CHECK(honest.condition == ChannelCondition::ready && honest.readers.empty());
  FUZZ_CHECK(honest.slots.size() == kObjects && honest.frame);
  FUZZ_CHECK(honest.frame->caps == kCaps && honest.frame->bytes == kFrameBytes);
  scene.restore();
  return 0;
}
