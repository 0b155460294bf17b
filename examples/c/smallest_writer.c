/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the possum authors
 *
 * smallest-writer CHANNEL [FRAMES [RATE]]: the smallest honest writer of a channel, with
 * nothing but libc and PROTOCOL.md. Publishes gray pictures, each with a line that says
 * what is in it, and says when a reader comes or goes. Ends after FRAMES or by a signal.
 *
 * Left out: blocking readers (all of them drop their oldest frame), slots that others
 * draw into, pictures of several sizes, more slots where readers would have to copy,
 * other users, a umask that hides the owner's files from itself, and a channel that is
 * made anew when somebody removes its name or damages it: this one ends with an error
 * when the name is gone, and looks for nothing else.
 */
#include "smallest.h"

#include <dirent.h>
#include <signal.h>
#include <sys/random.h>

enum { COUNT = 6, WIDTH = 320, HEIGHT = 240, PIXELS = WIDTH * HEIGHT, MAX_TRIES = 100 };
enum { CAPS_OFFSET = 384, CAPS_CAPACITY = 2048, PIXELS_OFFSET = 65536 };
#define ALL (BIT(COUNT) - 1)
#define SECOND INT64_C(1000000000)

/* All that this writer goes by. What it has written to shared memory it never reads back.
 */
static struct {
  const char* channel;
  char name[NAME_BYTES]; /* of the control object, for shm_open() */
  int lock;              /* holds OWNER: nothing may be mapped through it */
  char* control;
  Header* header;
  uint64_t incarnation;
  Page* pages[READERS];
  Bell room, attention, bells[READERS];
  char* slot[COUNT];
  uint32_t object[COUNT];
  uint64_t seq[COUNT];     /* of the frame in each slot */
  uint32_t admitted;       /* pages */
  uint32_t given[READERS]; /* slots offered there and not seen gone since */
  uint32_t newest;         /* mask of the slot of the newest frame, 0: none */
  uint64_t frames;
} w;

static volatile sig_atomic_t stop_asked;
static void ask_to_stop(int number) {
  (void)number;
  stop_asked = 1;
}

/* --- claim -----------------------------------------------------------------------------
 */

/* Removes the data names of the dead. Only under OWNER. */
static void unlink_left(void) {
  DIR* const directory = opendir(SHM);
  for (struct dirent* entry; directory && (entry = readdir(directory));) {
    char name[sizeof entry->d_name + 1], same[NAME_BYTES];
    snprintf(name, sizeof name, "/%s", entry->d_name);
    const size_t digits = strlen("/possum-d.") + strlen(w.channel) + 1;
    if (strlen(name) != digits + 16 + 1 + 8) continue;
    data_name(same, w.channel, strtoull(name + digits, NULL, 16),
              (uint32_t)strtoul(name + digits + 17, NULL, 16));
    if (strcmp(name, same) == 0) shm_unlink(name);
  }
  if (directory) closedir(directory);
}

static bool leads_to_us(void) {
  struct stat named, ours;
  char path[NAME_BYTES + sizeof SHM];
  snprintf(path, sizeof path, SHM "%s", w.name);
  return lstat(path, &named) == 0 && fstat(w.lock, &ours) == 0 &&
         named.st_ino == ours.st_ino;
}

static uint64_t random_number(void) {
  uint64_t number = 0;
  if (getrandom(&number, sizeof number, 0) != sizeof number) fail("getrandom");
  return number;
}

/* Steps 1 to 6: the name leads to an empty object of ours, with OWNER held through
 * w.lock. */
static void claim_name(void) {
  for (int tries = 0; tries < MAX_TRIES; ++tries) {
    struct stat info;
    w.lock = shm_open(w.name, O_RDWR | O_CREAT | O_EXCL, 0600);
    const bool fresh = w.lock >= 0;
    if (!fresh && errno == EEXIST) w.lock = shm_open(w.name, O_RDWR | O_NONBLOCK, 0);
    if (w.lock < 0 && errno == ENOENT) continue; /* it went meanwhile */
    if (w.lock < 0 || fstat(w.lock, &info)) fail(w.name);
    if (!S_ISREG(info.st_mode) || info.st_uid != geteuid())
      fail("the name is somebody else's");
    if (!try_lock(w.lock, OWNER_BYTE)) fail("the channel is already written");
    if (fstat(w.lock, &info) ||
        info.st_nlink == 0) { /* replaced before we had the lock */
      close(w.lock);
      continue;
    }
    if (fresh) return;
    /* A dead writer's. Ours takes its place in one step, so that nobody gets in between.
     */
    char spare[NAME_BYTES], from[NAME_BYTES + sizeof SHM], to[NAME_BYTES + sizeof SHM];
    data_name(spare, w.channel, 0, (uint32_t)random_number());
    const int lock = shm_open(spare, O_RDWR | O_CREAT | O_EXCL, 0600);
    snprintf(from, sizeof from, SHM "%s", spare);
    snprintf(to, sizeof to, SHM "%s", w.name);
    const bool ours = lock >= 0 && try_lock(lock, OWNER_BYTE) && rename(from, to) == 0;
    if (!ours) { /* no room for both */
      shm_unlink(spare);
      shm_unlink(w.name);
    }
    close(w.lock);
    w.lock = lock;
    if (ours) return;
    if (lock >= 0) close(lock);
  }
  fail("the name of the channel keeps changing");
}

/* An object of that size, reserved and mapped; the descriptor is not kept. */
static char* map_new(int fd, size_t bytes) {
  if (fd < 0 || (errno = posix_fallocate(fd, 0, (off_t)bytes))) fail("no room in " SHM);
  char* data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) fail("mmap");
  return data;
}

/* Steps 7 to 9. */
static void set_up_control(void) {
  struct stat ours, mapped;
  if (fchmod(w.lock, 0600)) fail("fchmod");
  const int fd = shm_open(w.name, O_RDWR, 0);
  if (fd < 0 || fstat(w.lock, &ours) || fstat(fd, &mapped) ||
      ours.st_ino != mapped.st_ino) {
    fail("the channel was replaced");
  }
  w.control = map_new(fd, UNITS * unit_bytes());
  Header* const h = w.header = (Header*)w.control;
  memcpy(h->magic, "PSSMCTL1", 8);
  h->version = VERSION;
  fill_abi(h);
  h->header_bytes = sizeof *h;
  h->unit_bytes = (uint32_t)unit_bytes();
  h->readers = READERS;
  h->slots = SLOTS;
  h->object_bytes = UNITS * unit_bytes();
  h->incarnation = w.incarnation = random_number() | 1; /* 0 is for spare names */
  h->writer_pid = (uint32_t)getpid();
  h->reserve = 1;
  a32* const bells = (a32*)(w.control + ROOM_UNIT * unit_bytes());
  bool mapped_all =
      map_bell(&w.room, fd, ROOM_UNIT, bells) &&
      map_bell(&w.attention, fd, ATTENTION_UNIT, bells + 64 / sizeof *bells);
  for (size_t r = 0; r < READERS; ++r) {
    w.pages[r] = (Page*)(w.control + (PAGE_UNIT + r) * unit_bytes());
    w.pages[r]->cfg = 1 << 24 | FREE;
    mapped_all =
        mapped_all && map_bell(&w.bells[r], fd, PAGE_UNIT + r, &w.pages[r]->waiting);
  }
  if (!mapped_all) fail("mmap");
  close(fd);
  atomic_store(&h->state, READY);
  if (fchmod(w.lock, 0600)) fail("fchmod"); /* the event that waiting readers see */
}

static void make_slot(uint32_t s) {
  char name[NAME_BYTES];
  int fd;
  do {
    w.object[s] = (uint32_t)random_number() | 1;
    data_name(name, w.channel, w.incarnation, w.object[s]);
    fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
  } while (fd < 0 && errno == EEXIST);
  const size_t bytes = PIXELS_OFFSET + (PIXELS + 4095) / 4096 * 4096;
  w.slot[s] = map_new(fd, bytes);
  if (fchmod(fd, 0600)) fail("fchmod");
  close(fd);
  DataHeader h = {.version = VERSION,
                  .slot = s,
                  .incarnation = w.incarnation,
                  .object = w.object[s],
                  .header_bytes = sizeof h + sizeof(Descriptor),
                  .object_bytes = bytes,
                  .caps_offset = CAPS_OFFSET,
                  .caps_capacity = CAPS_CAPACITY,
                  .metas_offset = CAPS_OFFSET + CAPS_CAPACITY,
                  .pixels_offset = PIXELS_OFFSET,
                  .pixels_capacity = bytes - PIXELS_OFFSET};
  memcpy(h.magic, "PSSMDTA1", 8);
  memcpy(w.slot[s], &h, sizeof h);
  w.header->slot[s].pages = (uint32_t)(bytes / 4096);
  atomic_store(&w.header->slot[s].object, w.object[s]);
  atomic_store(&w.header->have, BIT(s + 1) - 1); /* this one and those before it */
}

/* --- offers ----------------------------------------------------------------------------
 */

static int oldest_of(uint32_t slots) {
  int oldest = -1;
  for (int s = 0; s < COUNT; ++s) {
    if ((slots & BIT(s)) && (oldest < 0 || w.seq[s] < w.seq[oldest])) oldest = s;
  }
  return oldest;
}

/* PROTOCOL.md, section 5, "Offer word". */
static void offer(int r, int slot) {
  for (int tries = 0; tries < MAX_TRIES; ++tries) {
    const uint64_t cfg = atomic_load(&w.pages[r]->cfg);
    uint64_t word = atomic_load(&w.pages[r]->word);
    uint32_t offered = (uint32_t)word;
    const uint32_t taken = (uint32_t)(word >> 32);
    uint32_t depth = cfg >> 24 & 0xff;
    depth = depth < 1 ? 1 : depth > MAX_DEPTH ? MAX_DEPTH : depth;
    w.given[r] &= offered | taken;
    if (__builtin_popcount(taken & w.given[r]) > MAX_TAKEN) w.given[r] = 0; /* a liar */
    if (taken & w.given[r] & BIT(slot)) return;
    offered &= w.given[r];
    uint32_t added = 0;
    if ((cfg & 0xff) == ACTIVE) {
      const bool newest_goes = (cfg >> 16 & 0xff) == DROP_NEWEST;
      while (!newest_goes && (uint32_t)__builtin_popcount(offered) >= depth) {
        offered &= ~BIT(oldest_of(offered));
      }
      if ((uint32_t)__builtin_popcount(offered) < depth) added = BIT(slot);
    }
    offered |= added;
    if (!atomic_compare_exchange_strong(&w.pages[r]->word, &word,
                                        (uint64_t)taken << 32 | offered)) {
      continue;
    }
    w.given[r] = (w.given[r] & (offered | taken)) | added;
    if (added) ring(&w.bells[r]);
    return;
  }
}

/* Who came gets the newest frame, and is told that it will get all that follow. */
static void admit(void) {
  for (int r = 0; r < READERS; ++r) {
    const bool known = w.admitted & BIT(r);
    if (known && (atomic_load(&w.pages[r]->grant) & ADMITTED)) continue;
    if ((atomic_load(&w.pages[r]->cfg) & 0xff) != ACTIVE) continue;
    w.admitted |= BIT(r);
    atomic_store(&w.header->admitted, w.admitted);
    if (w.newest) offer(r, oldest_of(w.newest));
    atomic_fetch_or(&w.pages[r]->grant, ADMITTED);
    ring(&w.bells[r]);
    if (!known) printf("reader %d came\n", r);
  }
}

/* The pages of readers that left or died are free again. */
static void recycle(void) {
  for (int r = 0; r < READERS; ++r) {
    Page* const page = w.pages[r];
    const uint64_t cfg = atomic_load(&page->cfg);
    if (((cfg & 0xff) == FREE && !(w.admitted & BIT(r))) ||
        !try_lock(w.lock, PAGE_BYTE(r))) {
      continue;
    }
    if (w.admitted & BIT(r)) printf("reader %d is gone\n", r);
    atomic_store(&page->word, 0);
    w.given[r] = 0;
    w.admitted &= ~BIT(r);
    atomic_store(&w.header->admitted, w.admitted);
    page->waiting = 0;
    memset(w.bells[r].semaphore, 0, 8); /* the shared part */
    page->grant = 0;
    atomic_store(&page->cfg, ((cfg >> 32) + 1) << 32 | 1 << 24 | FREE);
    unlock(w.lock, PAGE_BYTE(r));
  }
}

/* The slots that no reader can see, and those that readers hold. */
static uint32_t look_for_idle(uint32_t* all_taken) {
  uint32_t offered = 0, taken = 0;
  for (int r = 0; r < READERS; ++r) {
    if (!(w.admitted & BIT(r))) continue;
    const uint64_t word = atomic_load(&w.pages[r]->word);
    w.given[r] &= (uint32_t)word | (uint32_t)(word >> 32);
    if (__builtin_popcount((uint32_t)(word >> 32) & w.given[r]) > MAX_TAKEN)
      w.given[r] = 0;
    offered |= (uint32_t)word & w.given[r];
    taken |= (uint32_t)(word >> 32) & w.given[r];
  }
  *all_taken = taken;
  return ALL & ~(offered | taken | w.newest);
}

/* Nobody may begin with it any more: it is gone, or a frame after it was dropped. */
static void forget_newest(void) {
  w.newest = 0;
  w.header->latest = 0;
}

/* A slot that no reader can see, or -1. */
static int acquire(void) {
  uint32_t taken;
  uint32_t idle = look_for_idle(&taken);
  if (!idle) {
    recycle();
    idle = look_for_idle(&taken);
  }
  if (idle) return oldest_of(idle);
  /* Steal the oldest that nobody has taken, the newest frame last. */
  for (uint32_t able = ALL & ~taken; able;) {
    const int slot = oldest_of(able & ~w.newest ? able & ~w.newest : able);
    bool quicker = false;
    for (int r = 0; r < READERS; ++r) {
      if (!(w.given[r] & BIT(slot))) continue;
      const uint64_t old = atomic_fetch_and(&w.pages[r]->word, ~(uint64_t)BIT(slot));
      if (old >> 32 & BIT(slot)) {
        quicker = true;
      } else {
        w.given[r] &= ~BIT(slot);
      }
    }
    able &= ~BIT(slot);
    if (quicker) continue;
    if (w.newest == BIT(slot)) forget_newest();
    return slot;
  }
  forget_newest();
  return -1;
}

static void publish(int slot) {
  char caps[CAPS_CAPACITY];
  snprintf(caps, sizeof caps,
           "video/x-raw, format=(string)GRAY8, width=(int)%d, height=(int)%d, "
           "framerate=(fraction)0/1",
           WIDTH, HEIGHT);
  uint8_t* const pixels = (uint8_t*)w.slot[slot] + PIXELS_OFFSET;
  const uint64_t seq = ++w.frames;
  for (int i = 0; i < PIXELS; ++i)
    pixels[i] = (uint8_t)(i % WIDTH + i / WIDTH + (int)seq);
  Descriptor d = {.seq = seq,
                  .publish_ns = now_ns(),
                  .pts_ns = INT64_MIN,
                  .dts_ns = INT64_MIN,
                  .running_pts_ns = INT64_MIN,
                  .running_dts_ns = INT64_MIN,
                  .duration_ns = INT64_MIN,
                  .offset = UINT64_MAX,
                  .offset_end = UINT64_MAX,
                  .data_bytes = PIXELS,
                  .flush_id = 1,
                  .caps_id = 1,
                  .caps_bytes = (uint32_t)strlen(caps)};
  memcpy(w.slot[slot] + CAPS_OFFSET, caps, d.caps_bytes);
  memcpy(w.slot[slot] + sizeof(DataHeader), &d, sizeof d);
  w.seq[slot] = seq;
  atomic_store_explicit(&w.header->slot[slot].seq, seq, memory_order_relaxed);
  for (int r = 0; r < READERS; ++r) {
    if (w.admitted & BIT(r)) offer(r, slot);
  }
  w.newest = BIT(slot);
  w.header->latest = (uint32_t)slot + 1;
  w.header->frames = seq;
  if (seq == 1) futimens(w.lock, NULL); /* the only new caps: the event for who looks */
  printf("frame %" PRIu64 ": sum %08" PRIx32 "\n", seq, checksum(pixels, PIXELS));
}

/* Until `moment_ns`; meanwhile readers come and go. */
static void look_after_readers(int64_t moment_ns) {
  do {
    arm(&w.attention);
    admit();
    recycle();
    fflush(stdout);
    if (!leads_to_us()) fail("somebody removed the name of the channel");
    const int64_t bound = now_ns() + SECOND / 4; /* the dead ring nobody */
    sleep_until(&w.attention, bound < moment_ns ? bound : moment_ns);
  } while (!stop_asked && now_ns() < moment_ns);
}

static void stop(void) {
  atomic_store(&w.header->state, EOS);
  for (int r = 0; r < READERS; ++r) ring(&w.bells[r]);
  look_after_readers(now_ns() +
                     SECOND / 4); /* what is not mapped yet goes with its name */
  admit();
  if (leads_to_us()) shm_unlink(w.name);
  close(w.lock);
  for (uint32_t s = 0; s < COUNT; ++s) {
    char name[NAME_BYTES];
    data_name(name, w.channel, w.incarnation, w.object[s]);
    shm_unlink(name);
  }
  for (int r = 0; r < READERS; ++r) ring(&w.bells[r]);
}

int main(int argc, char** argv) {
  if (argc < 2 || !is_channel_name(argv[1])) {
    fail("usage: smallest-writer CHANNEL [FRAMES [RATE]]");
  }
  w.channel = argv[1];
  control_name(w.name, w.channel);
  const uint64_t frames = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
  const int rate = argc > 3 && atoi(argv[3]) > 0 ? atoi(argv[3]) : 30;
  struct sigaction action = {.sa_handler = ask_to_stop};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);

  claim_name();
  unlink_left();
  set_up_control();
  for (uint32_t s = 0; s < COUNT; ++s) make_slot(s);
  int64_t due_ns = now_ns();
  while (!stop_asked && (frames == 0 || w.frames < frames)) {
    const int slot = acquire();
    if (slot >= 0) publish(slot);
    if (slot < 0) printf("a frame was dropped\n");
    look_after_readers(due_ns += SECOND / rate);
  }
  stop();
  return EXIT_SUCCESS;
}
