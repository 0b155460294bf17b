// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// `stampsrc`: a source of stamped pictures for test pipelines.
//
//   caps          fixed raw video caps; several, separated by ';', take turns
//   change-every  frames until the next caps' turn, 0: never
//   live          paced by the clock and stamped with the time of capture; otherwise as
//                 fast as it goes, stamped by number and frame rate
//   padding       pixels around the picture, said by a GstVideoMeta
//   own-memory    draws into memory of its own, whatever downstream offers
//   redraw        keeps the last buffer and draws the next picture over it
#pragma once

#include <gst/gst.h>

void register_stampsrc();
