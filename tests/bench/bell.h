// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The least that two pipelines can do to hand over a frame: elements over a file in
// /dev/shm with room for some frames, and one semaphore per reader. No caps, no times, no
// policy, no check, and nothing is safe: what this takes longer than the bare semaphore
// is GStreamer's own, and what a contestant takes longer than this is the contestant's.
//
//   bellsink area=FILE size=BYTES    makes the file; proposes its memory; one frame
//                                    is at most so large
//   bellsrc area=FILE                opens it
#pragma once

namespace bench {

// With GStreamer initialised.
void register_bell_elements();

}  // namespace bench
