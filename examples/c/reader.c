/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the possum authors
 *
 * possum-c-reader [CHANNEL [FRAMES]]: says of each picture what it is, how old, and how
 * bright. Waits for the channel, and for the next writer when one goes; ends after
 * FRAMES, or when the writer says that it was all.
 */
#include <inttypes.h>
#include <possum.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(const char* what) {
  fprintf(stderr, "%s: %s\n", what, possum_error_message());
  return EXIT_FAILURE;
}

/* The mean of the first plane's bytes. Rows begin `stride` bytes apart, whatever they
 * hold: never go by width alone. */
static double brightness(const possum_frame_plane* plane) {
  const unsigned char* row = plane->data;
  const size_t bytes = (size_t)plane->width * plane->pixel_bytes;
  uint64_t sum = 0;
  for (uint32_t y = 0; y < plane->height; ++y) {
    for (size_t x = 0; x < bytes; ++x) sum += row[x];
    row += plane->stride;
  }
  return (double)sum / ((double)bytes * plane->height);
}

static void look_at(const possum_frame* frame) {
  possum_frame_info info;
  possum_frame_get_info(frame, &info, sizeof info);
  if (!info.is_video) {
    printf("frame %" PRIu64 ": %" PRIu64 " bytes of %s\n", info.seq, info.bytes,
           info.caps);
    return;
  }
  char format[32];
  possum_caps_get(info.caps, "format", format, sizeof format);
  printf("frame %" PRIu64 ": %s %" PRIu32 "x%" PRIu32
         ", %.1f ms old, %.1f bright, %" PRIu64 " missed\n",
         info.seq, format, info.width, info.height,
         (double)(possum_now_ns() - info.capture_ns) / 1e6, brightness(&info.planes[0]),
         info.missed);
}

int main(int argc, char** argv) {
  unsigned long left = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
  possum_reader_options options;
  possum_reader_options_init(&options, sizeof options);
  options.channel = argc > 1 ? argv[1] : "default";
  possum_reader* reader = NULL;
  if (possum_reader_open(&options, &reader) != POSSUM_OK) return failed("open");

  possum_frame* frame = NULL;
  possum_status status;
  while ((status = possum_reader_next(reader, POSSUM_FOREVER, &frame)) == POSSUM_OK) {
    look_at(frame);
    possum_frame_release(frame); /* the writer gets its slot back */
    if (left > 0 && --left == 0) break;
  }
  const int result = status < 0 ? failed("read") : EXIT_SUCCESS;
  possum_reader_close(reader);
  return result;
}
