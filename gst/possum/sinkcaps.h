// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The caps that possumsink takes: every raw video format, the ones that viewers take
// without effort first, since upstream picks the first it can make.
#pragma once

#include <gst/gst.h>

#include "refs.h"

namespace possum {

Ref<GstCaps> sink_template_caps();

}  // namespace possum
