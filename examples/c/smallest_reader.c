/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the possum authors
 *
 * smallest-reader CHANNEL [FRAMES [lossless]]: the smallest honest reader of a channel,
 * with nothing but libc and PROTOCOL.md. Prints a line for each frame, ends after FRAMES
 * or at the end of the stream, and follows the next writer when one goes. `lossless`: the
 * writer waits for this reader, if it allows that.
 *
 * Left out: inotify in place of the poll for a channel, which also waits for ever where
 * one is not finished, frames that are kept while others are taken, a pause for whoever
 * is woken all the time for nothing, and SIGBUS, by which whoever may truncate the shared
 * memory ends this process.
 */
#include "smallest.h"

enum { DEPTH = 3, MAX_TRIES = 100, MAX_CAPS = 16384, MAX_METAS = 1 << 24 };
#define MS INT64_C(1000000)

typedef struct {
  int lock; /* carries the page's byte lock: nothing may be mapped through it */
  int fd;
  uid_t owner;
  uint64_t incarnation;
  uint32_t flags;
  char* control; /* read-only, but for unit 1 and the own page */
  Header* header;
  Page* pages[READERS];
  Page* page; /* the own one */
  uint32_t epoch;
  Bell room, attention, bell;
  struct {
    uint32_t object; /* 0: not mapped */
    DataHeader header;
    const char* data;
  } slot[SLOTS];
  uint64_t last_seq;
} Reader;

typedef enum { FRAME, NOTHING, LOST, ENDED, GONE } Outcome;

/* --- look and attach -------------------------------------------------------------------
 */

static void close_reader(Reader* r) {
  for (int s = 0; s < SLOTS; ++s) {
    if (r->slot[s].object) munmap((void*)r->slot[s].data, r->slot[s].header.object_bytes);
  }
  unmap_bell(&r->room);
  unmap_bell(&r->attention);
  unmap_bell(&r->bell);
  if (r->control) munmap(r->control, UNITS * unit_bytes());
  if (r->fd >= 0) close(r->fd);
  if (r->lock >= 0) close(r->lock);
}

/* False: there is no channel yet, or its writer is dead. */
static bool look(const char* channel, Reader* r, uint64_t dead) {
  char name[NAME_BYTES];
  struct stat info, mapped;
  Header copy, own;
  control_name(name, channel);
  r->lock = shm_open(name, O_RDWR | O_NONBLOCK, 0);
  r->fd = shm_open(name, O_RDWR | O_NONBLOCK, 0);
  if (r->lock < 0 || r->fd < 0) return false;
  if (fstat(r->lock, &info) || fstat(r->fd, &mapped) || info.st_ino != mapped.st_ino ||
      info.st_nlink == 0 || !S_ISREG(info.st_mode)) {
    return false;
  }
  r->owner = info.st_uid;
  if (r->owner != geteuid() && (r->owner != 0 || info.st_mode & S_IWOTH)) return false;
  if (!is_held(r->lock, OWNER_BYTE)) return false;
  for (int copies = 0; copies < 2; ++copies) { /* the first may be torn */
    if (pread(r->fd, &copy, sizeof copy, 0) != sizeof copy || copy.state == INIT)
      return false;
  }
  if (memcmp(copy.magic, "PSSMCTL1", 8)) return false; /* a file, but no channel */
  if (copy.version != VERSION) {
    fprintf(stderr, "the channel has layout %" PRIu32 ", this is layout %d\n",
            copy.version, VERSION);
    exit(EXIT_FAILURE);
  }
  fill_abi(&own);
  if (copy.abi != own.abi || copy.sem_bytes != own.sem_bytes ||
      memcmp(copy.sem_image, own.sem_image, sizeof own.sem_image)) {
    fail("the writer has another C library");
  }
  if (copy.header_bytes != sizeof copy || copy.unit_bytes != unit_bytes() ||
      copy.readers != READERS || copy.slots != SLOTS ||
      copy.object_bytes != UNITS * unit_bytes() ||
      info.st_size != (off_t)(UNITS * unit_bytes())) {
    fail("the channel is damaged");
  }
  if (copy.incarnation == dead) return false;
  r->incarnation = copy.incarnation;
  r->flags = copy.flags;
  char* control = mmap(NULL, UNITS * unit_bytes(), PROT_READ, MAP_SHARED, r->fd, 0);
  if (control == MAP_FAILED) fail("mmap");
  r->control = control;
  r->header = (Header*)control;
  for (int i = 0; i < READERS; ++i) {
    r->pages[i] = (Page*)(control + (PAGE_UNIT + (size_t)i) * unit_bytes());
  }
  return atomic_load(&r->header->state) != INIT;
}

static bool map_writable(Reader* r, size_t unit) {
  return mmap(r->control + unit * unit_bytes(), unit_bytes(), PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_FIXED, r->fd, (off_t)(unit * unit_bytes())) != MAP_FAILED;
}

static void ring_both(const Reader* r) {
  ring(&r->attention);
  ring(&r->room);
}

static bool tenant(const Reader* r) {
  return atomic_load(&r->page->cfg) >> 32 == r->epoch;
}

static void leave(Reader* r) {
  uint64_t cfg = atomic_load(&r->page->cfg);
  if (cfg >> 32 == r->epoch && atomic_compare_exchange_strong(
                                   &r->page->cfg, &cfg, (cfg & ~UINT64_C(0xff)) | LEFT)) {
    atomic_fetch_and(&r->page->word, ~(uint64_t)UINT32_MAX);
    ring_both(r);
  }
  close(r->lock); /* with it goes the page's byte lock */
  r->lock = -1;
  ring_both(r);
}

/* Has the channel its writer and its name? */
static bool is_there(const Reader* r) {
  struct stat info;
  return is_held(r->lock, OWNER_BYTE) && fstat(r->lock, &info) == 0 && info.st_nlink > 0;
}

/* What people see of this process. */
static void introduce(Page* page) {
  const char name[16] = "smallest-reader";
  uint64_t half;
  page->pid = (uint32_t)getpid();
  for (int i = 0; i < 2; ++i) {
    memcpy(&half, name + 8 * i, sizeof half);
    page->name[i] = half;
  }
  page->frames = page->missed = page->copied = 0;
}

/* False: all pages are taken, or the writer went meanwhile. */
static bool attach(Reader* r, unsigned policy) {
  if (policy == BLOCKING && !(r->flags & ALLOW_BLOCKING)) {
    fail("this writer waits for nobody");
  }
  size_t i = 0;
  for (; i < READERS; ++i) {
    if ((atomic_load(&r->pages[i]->cfg) & 0xff) != FREE) continue;
    if (!try_lock(r->lock, PAGE_BYTE(i))) continue;
    if ((atomic_load(&r->pages[i]->cfg) & 0xff) == FREE) break; /* still */
    unlock(r->lock, PAGE_BYTE(i));
  }
  if (i == READERS) return false;
  r->page = r->pages[i];
  a32* const bells = (a32*)(r->control + ROOM_UNIT * unit_bytes());
  if (!map_writable(r, ROOM_UNIT) || !map_writable(r, PAGE_UNIT + i) ||
      !map_bell(&r->room, r->fd, ROOM_UNIT, bells) ||
      !map_bell(&r->attention, r->fd, ATTENTION_UNIT, bells + 64 / sizeof *bells) ||
      !map_bell(&r->bell, r->fd, PAGE_UNIT + i, &r->page->waiting)) {
    fail("mmap");
  }
  introduce(r->page);
  r->epoch = (uint32_t)(r->page->cfg >> 32);
  atomic_store(&r->page->cfg,
               (uint64_t)r->epoch << 32 | (uint64_t)DEPTH << 24 | policy << 16 | ACTIVE);
  ring_both(r);
  /* A stopped writer admits nobody, and goes on later. */
  for (const int64_t end_ns = now_ns() + 100 * MS; now_ns() < end_ns;) {
    const bool there = is_there(r); /* before the look */
    arm(&r->bell);
    if (atomic_load(&r->page->grant) & ADMITTED) break;
    if (!there) {
      leave(r);
      return false;
    }
    sleep_until(&r->bell, now_ns() + 20 * MS);
  }
  return true;
}

/* --- take and release ------------------------------------------------------------------
 */

static void release(const Reader* r, int slot) {
  if (!tenant(r)) return;
  atomic_fetch_and(&r->page->word, ~((uint64_t)BIT(slot) << 32));
  ring(&r->room);
}

/* The slot's object, checked. LOST: its name is gone. */
static Outcome map_slot(Reader* r, const char* channel, int s) {
  const uint32_t object = atomic_load(&r->header->slot[s].object);
  if (object == 0) return LOST;
  if (object == r->slot[s].object) return FRAME;
  if (r->slot[s].object) munmap((void*)r->slot[s].data, r->slot[s].header.object_bytes);
  r->slot[s].object = 0;
  char name[NAME_BYTES];
  struct stat info;
  DataHeader h;
  data_name(name, channel, r->incarnation, object);
  const int fd = shm_open(name, O_RDONLY | O_NONBLOCK, 0);
  if (fd < 0 && errno == ENOENT) return LOST;
  if (fd < 0 || fstat(fd, &info) || !S_ISREG(info.st_mode) || info.st_uid != r->owner ||
      info.st_size < 4096 || info.st_blocks * 512 < info.st_size ||
      pread(fd, &h, sizeof h, 0) != sizeof h || memcmp(h.magic, "PSSMDTA1", 8) ||
      h.version != VERSION || h.slot != (uint32_t)s || h.object != object ||
      h.incarnation != r->incarnation ||
      h.header_bytes != sizeof h + sizeof(Descriptor) ||
      h.object_bytes != (uint64_t)info.st_size || h.caps_offset < h.header_bytes ||
      h.caps_capacity > MAX_CAPS ||
      (uint64_t)h.caps_offset + h.caps_capacity > h.pixels_offset ||
      h.metas_offset < h.header_bytes || h.metas_capacity > MAX_METAS ||
      (uint64_t)h.metas_offset + h.metas_capacity > h.pixels_offset ||
      h.pixels_offset % 4096 || h.pixels_offset > h.object_bytes ||
      h.pixels_capacity > h.object_bytes - h.pixels_offset) {
    fail("a slot of the channel is damaged");
  }
  const char* data = mmap(NULL, h.object_bytes, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (data == MAP_FAILED) fail("mmap");
  r->slot[s].object = object;
  r->slot[s].header = h;
  r->slot[s].data = data;
  return FRAME;
}

/* The oldest frame on offer becomes ours. `mapped`: the slots that were mapped before. */
static int take_oldest(const Reader* r, uint32_t mapped) {
  for (int tries = 0; tries < MAX_TRIES; ++tries) {
    uint64_t word = atomic_load(&r->page->word), lowest = UINT64_MAX;
    int slot = -1;
    for (int s = 0; s < SLOTS; ++s) {
      const uint64_t seq = atomic_load(&r->header->slot[s].seq);
      if ((word & BIT(s)) && seq < lowest) lowest = seq, slot = s;
    }
    if (slot < 0 || !(mapped & BIT(slot))) return -1;
    const uint64_t next = (word & ~(uint64_t)BIT(slot)) | (uint64_t)BIT(slot) << 32;
    if (atomic_compare_exchange_strong(&r->page->word, &word, next)) {
      ring(&r->room);
      return slot;
    }
  }
  return -1;
}

/* The reserve rule: would holding this slot leave the writer too few? */
static bool must_copy(const Reader* r) {
  const uint32_t admitted = atomic_load(&r->header->admitted);
  uint32_t taken = 0;
  for (int i = 0; i < READERS; ++i) {
    if (admitted & BIT(i)) taken |= (uint32_t)(atomic_load(&r->pages[i]->word) >> 32);
  }
  const uint32_t have = atomic_load(&r->header->have) & ~taken;
  return (uint32_t)__builtin_popcount(have) < atomic_load(&r->header->reserve);
}

static void show(Reader* r, int slot, uint64_t seq) {
  const DataHeader* const h = &r->slot[slot].header;
  const char* const data = r->slot[slot].data;
  Descriptor d; /* a copy: the writer may change its own at any time */
  memcpy(&d, data + sizeof *h, sizeof d);
  if (d.seq != seq || d.data_offset > h->pixels_capacity ||
      d.data_bytes > h->pixels_capacity - d.data_offset ||
      d.caps_bytes > h->caps_capacity || d.metas_bytes > h->metas_capacity) {
    fail("a frame of the channel is damaged");
  }
  char caps[MAX_CAPS + 1] = "";
  for (uint32_t i = 0; i < d.caps_bytes; ++i) { /* no peer moves our cursor */
    caps[i] = data[h->caps_offset + i];
    if (caps[i] < ' ' || caps[i] > '~') caps[i] = '?';
  }
  const uint8_t* pixels = (const uint8_t*)data + h->pixels_offset + d.data_offset;
  uint8_t* copy = NULL;
  if (must_copy(r)) {
    copy = malloc(d.data_bytes + 1);
    if (!copy) fail("malloc");
    memcpy(copy, pixels, d.data_bytes);
    release(r, slot);
    pixels = copy;
  }
  const uint64_t missed = r->last_seq ? seq - r->last_seq - 1 : 0;
  printf("frame %" PRIu64 ": %" PRIu64 " bytes of %s, sum %08" PRIx32 ", %" PRIu64
         " missed%s\n",
         seq, d.data_bytes, caps, checksum(pixels, d.data_bytes), missed,
         copy ? ", copied" : "");
  fflush(stdout);
  if (tenant(r)) {
    r->page->frames += 1;
    r->page->missed += missed;
    r->page->copied += copy != NULL;
  }
  if (!copy) release(r, slot);
  free(copy);
  r->last_seq = seq;
}

static Outcome take(Reader* r, const char* channel) {
  if ((atomic_load(&r->page->cfg) & 0xff) != ACTIVE || !tenant(r)) {
    fail("the writer took this process for dead");
  }
  /* Before the take: a writer that sees everything taken may end and remove the names. */
  const uint32_t offered = (uint32_t)atomic_load(&r->page->word);
  for (int s = 0; s < SLOTS; ++s) {
    if (offered & BIT(s)) map_slot(r, channel, s);
  }
  const int slot = take_oldest(r, offered);
  if (slot < 0) return offered ? LOST : NOTHING;
  const uint64_t seq = atomic_load(&r->header->slot[slot].seq);
  if (seq <= r->last_seq) { /* seen before */
    release(r, slot);
    return LOST;
  }
  if (map_slot(r, channel, slot) == FRAME) {
    show(r, slot, seq);
    return FRAME;
  }
  if (is_there(r)) fail("somebody removed the frames of the channel");
  release(r, slot); /* the frame went with its writer */
  return LOST;
}

/* Waits for an offer or the end, 100 ms at most. `dead`: OWNER was found free before. */
static Outcome wait_for_offer(const Reader* r, bool dead) {
  arm(&r->bell);
  const uint32_t state = atomic_load(&r->header->state);
  const uint32_t grant = atomic_load(&r->page->grant);
  if ((uint32_t)atomic_load(&r->page->word) != 0) return NOTHING; /* there is an offer */
  if (state == EOS && grant & ADMITTED) return ENDED;
  if (dead) return GONE;
  sleep_until(&r->bell, now_ns() + 100 * MS);
  return NOTHING;
}

int main(int argc, char** argv) {
  if (argc < 2 || !is_channel_name(argv[1])) {
    fail("usage: smallest-reader CHANNEL [FRAMES [lossless]]");
  }
  const char* const channel = argv[1];
  long left = argc > 2 ? atol(argv[2]) : 0;
  uint64_t dead = 0;
  for (;;) {
    Reader r = {.lock = -1, .fd = -1};
    if (!look(channel, &r, dead) || !attach(&r, argc > 3 ? BLOCKING : DROP_OLDEST)) {
      close_reader(&r);
      usleep(20000);
      continue;
    }
    Outcome outcome;
    int lost = 0;
    do {
      outcome = take(&r, channel);
      if (outcome == FRAME && --left == 0) break;
      lost = outcome == LOST ? lost + 1 : 0;
      if (lost > MAX_TRIES) fail("nothing that is offered is a new frame");
      if (outcome == NOTHING) outcome = wait_for_offer(&r, !is_held(r.lock, OWNER_BYTE));
    } while (outcome != ENDED && outcome != GONE);
    dead = r.incarnation;
    leave(&r);
    close_reader(&r);
    printf(outcome == FRAME   ? "enough\n"
           : outcome == ENDED ? "the end\n"
                              : "the writer is gone\n");
    fflush(stdout);
    if (outcome != GONE) return EXIT_SUCCESS;
  }
}
