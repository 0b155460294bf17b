// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// All that tests of the elements need besides gstcheck.h: start a producer, start a
// consumer, push one, pull one. Include it before that.
#pragma once

#include "consumer.h"
#include "leftovers.h"
#include "producer.h"
#include "waiting.h"

namespace elements {

using support::channel_mappings;
using support::channel_prefix;
using support::open_descriptors;
using support::own_names;
using support::unique_channel;

}  // namespace elements
