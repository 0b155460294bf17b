/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the possum authors
 *
 * possum-c-writer [CHANNEL [FRAMES]]: draws a moving bar, 30 pictures a second, straight
 * into shared memory, until it has drawn FRAMES or somebody presses Ctrl-C.
 */
#define _POSIX_C_SOURCE 200809L

#include <possum.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WIDTH = 640, HEIGHT = 480, RATE = 30, BAR = 64 };

static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int number) {
  (void)number;
  stop_asked = 1;
}

static int failed(const char* what) {
  fprintf(stderr, "%s: %s\n", what, possum_error_message());
  return EXIT_FAILURE;
}

static void draw(const possum_video* video, unsigned char* pixels, unsigned number) {
  const size_t stride = (size_t)video->planes[0].stride;
  const size_t left = number * 4 % (WIDTH - BAR);
  for (size_t y = 0; y < HEIGHT; ++y) {
    memset(pixels + y * stride, 32, (size_t)WIDTH * 3);
    memset(pixels + y * stride + left * 3, 224, (size_t)BAR * 3);
  }
}

/* Ctrl-C ends the sleep. */
static void sleep_until(int64_t moment_ns) {
  const struct timespec moment = {(time_t)(moment_ns / 1000000000),
                                  (long)(moment_ns % 1000000000)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
}

static possum_status publish(possum_writer* writer, const possum_video* video,
                             unsigned number) {
  possum_slot* slot = NULL;
  possum_status status = possum_writer_borrow(writer, 0, POSSUM_FOREVER, &slot);
  if (status != POSSUM_OK) return status;
  draw(video, possum_slot_data(slot), number);
  possum_frame_params params;
  possum_frame_params_init(&params, sizeof params);
  params.offset = number;
  params.duration_ns = 1000000000 / RATE;
  status = possum_writer_publish(writer, slot, &params, POSSUM_FOREVER);
  possum_slot_release(slot); /* once for each borrow, whatever became of the frame */
  return status;
}

int main(int argc, char** argv) {
  const unsigned long frames = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = ask_to_stop;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);

  possum_video video;
  possum_video_init(&video, sizeof video);
  if (possum_video_set_format(&video, "BGR", WIDTH, HEIGHT) != POSSUM_OK) {
    return failed("format");
  }
  video.framerate_n = RATE;
  char caps[512];
  possum_video_to_caps(&video, caps, sizeof caps);

  possum_writer_options options;
  possum_writer_options_init(&options, sizeof options);
  options.channel = argc > 1 ? argv[1] : "default";
  options.caps = caps;
  possum_writer* writer = NULL;
  if (possum_writer_open(&options, &writer) != POSSUM_OK) return failed("open");

  int64_t due_ns = possum_now_ns();
  int result = EXIT_SUCCESS;
  for (unsigned number = 0; !stop_asked && (frames == 0 || number < frames); ++number) {
    /* POSSUM_NO_SLOT is no failure: this picture was dropped, the next may have room. */
    if (publish(writer, &video, number) < 0) {
      result = failed("publish");
      break;
    }
    due_ns += 1000000000 / RATE;
    sleep_until(due_ns);
  }
  possum_writer_eos(writer);
  possum_writer_close(writer);
  return result;
}
