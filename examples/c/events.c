/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the possum authors
 *
 * possum-c-events [CHANNEL]: a reader in a program that lives in an event loop. A
 * semaphore cannot be polled, so a thread waits in possum_reader_next() and puts the
 * newest frame into a mailbox; an eventfd tells the loop, which also has signals and its
 * standard input ("quit") to look after. The loop may be as slow as it likes: the mailbox
 * holds one frame, and the slot of a frame that nobody fetched goes back at once.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <inttypes.h>
#include <possum.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

typedef struct mailbox {
  possum_reader* reader;
  int event; /* readable when there is news */
  pthread_mutex_t lock;
  possum_frame* frame;  /* guarded by lock; the newest that was not fetched */
  possum_status status; /* guarded by lock; POSSUM_OK while the thread runs */
  char message[512];    /* guarded by lock; about the status */
} mailbox;

/* --- the thread that waits --------------------------------------------------------- */

static void put(mailbox* box, possum_status status, possum_frame* frame) {
  pthread_mutex_lock(&box->lock);
  possum_frame* const unfetched = frame != NULL ? box->frame : NULL;
  if (frame != NULL) box->frame = frame;
  box->status = status;
  /* Messages are the calling thread's: the loop could not ask for this one. */
  snprintf(box->message, sizeof box->message, "%s", possum_error_message());
  pthread_mutex_unlock(&box->lock);
  possum_frame_release(unfetched);
  const uint64_t one = 1;
  if (write(box->event, &one, sizeof one) < 0) return; /* full: there is news already */
}

static void* wait_for_frames(void* data) {
  mailbox* const box = data;
  possum_status status = POSSUM_OK;
  while (status == POSSUM_OK) {
    possum_frame* frame = NULL;
    status = possum_reader_next(box->reader, POSSUM_FOREVER, &frame);
    put(box, status, frame);
  }
  return NULL;
}

/* --- the loop ---------------------------------------------------------------------- */

static possum_frame* fetch(mailbox* box, possum_status* status) {
  uint64_t count = 0;
  if (read(box->event, &count, sizeof count) < 0 && errno != EAGAIN) perror("eventfd");
  pthread_mutex_lock(&box->lock);
  possum_frame* const frame = box->frame;
  box->frame = NULL;
  *status = box->status;
  pthread_mutex_unlock(&box->lock);
  return frame;
}

static void look_at(possum_frame* frame) {
  if (frame == NULL) return;
  possum_frame_info info;
  possum_frame_get_info(frame, &info, sizeof info);
  printf("frame %" PRIu64 ": %" PRIu64 " bytes of %s\n", info.seq, info.bytes, info.caps);
  fflush(stdout);
  possum_frame_release(frame);
}

static int watch(int epoll, int descriptor) {
  struct epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = EPOLLIN;
  event.data.fd = descriptor;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

/* Ends when the channel does, at a signal, or when it is told to quit. */
static possum_status run(mailbox* box, int epoll) {
  possum_status status = POSSUM_OK;
  while (status == POSSUM_OK) {
    struct epoll_event event;
    if (epoll_wait(epoll, &event, 1, -1) != 1) continue;
    if (event.data.fd == box->event) {
      look_at(fetch(box, &status));
    } else if (event.data.fd == STDIN_FILENO) {
      char line[64];
      const ssize_t got = read(STDIN_FILENO, line, sizeof line);
      if (got <= 0) epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
      if (got >= 4 && strncmp(line, "quit", 4) == 0) break;
    } else {
      break; /* SIGINT, SIGTERM */
    }
  }
  return status;
}

int main(int argc, char** argv) {
  mailbox box;
  memset(&box, 0, sizeof box);
  pthread_mutex_init(&box.lock, NULL);
  possum_reader_options options;
  possum_reader_options_init(&options, sizeof options);
  options.channel = argc > 1 ? argv[1] : "default";
  options.depth = 1; /* the newest frame is all that the mailbox has room for */
  if (possum_reader_open(&options, &box.reader) != POSSUM_OK) {
    fprintf(stderr, "open: %s\n", possum_error_message());
    return EXIT_FAILURE;
  }

  sigset_t signals; /* blocked before there are threads, so that only the loop has them */
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  const int signal_event = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  box.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  pthread_t thread;
  if (signal_event < 0 || epoll < 0 || box.event < 0 || watch(epoll, box.event) != 0 ||
      watch(epoll, signal_event) != 0 ||
      pthread_create(&thread, NULL, wait_for_frames, &box) != 0) {
    perror("event loop");
    return EXIT_FAILURE;
  }
  watch(epoll, STDIN_FILENO); /* fails for a file, which there is no need to wait for */

  const possum_status status = run(&box, epoll);

  possum_reader_interrupt(box.reader, 1); /* ends the thread's wait */
  pthread_join(thread, NULL);
  if (status < 0) fprintf(stderr, "read: %s\n", box.message);
  possum_frame_release(box.frame);
  possum_reader_close(box.reader);
  close(box.event);
  close(signal_event);
  close(epoll);
  return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
