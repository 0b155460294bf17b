/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the possum authors
 *
 * libpossum: frames between unrelated processes of one machine, for programs without
 * GStreamer. A writer and any number of readers meet by the name of a channel; either
 * may also be possumsink or possumsrc. C99, C++, or any language that calls C.
 *
 * Conventions of this file
 *
 * Status. Functions that can fail return a possum_status: POSSUM_OK is 0, outcomes that
 * a program expects are positive, failures are negative. After each status but POSSUM_OK
 * possum_error_message() is a sentence that says what happened and what to do. No
 * exception leaves the library, and it prints nothing.
 *
 * Time. Nanoseconds (..._ns) of CLOCK_MONOTONIC, the one clock of all processes of a
 * machine, unless said otherwise. Frames from another time namespace have the time of
 * their arrival. A deadline is a moment, not a duration: use
 * possum_deadline(). POSSUM_FOREVER never comes, POSSUM_AT_ONCE is past: one try and no
 * wait. Every wait also ends by the interrupt() of its object, from any thread. A
 * program that has to look at something else now and then passes near deadlines and
 * calls again: nothing is lost, but for the frame of a possum_writer_write().
 *
 * Structs grow: later versions add members at the end. What a program passes in begins
 * with `size` and is prepared by its init function, which sets every member to its
 * default. What it gets out is passed with its size. Either way a program keeps working
 * with newer libraries, without being built again. Strings and structs that are passed
 * in are copied and may go when the call returns. `reserved` members are 0.
 *
 * Threads. Each function says from where it may be called. "Any thread": several at
 * once, for one object. "One thread at a time": the program sees to that. Different
 * objects never disturb each other. Nothing here may be called from a signal handler.
 *
 * fork(). Handles belong to the process that made them. In a forked child every call on
 * them fails at once or does nothing, with POSSUM_ERROR_STATE where there is a status;
 * closing and releasing does no harm to the parent's channel, slots and leases. A frame's
 * bytes can still be read there, but nothing keeps them from changing once the parent has
 * released the frame. A child opens its own.
 *
 * Safety. Nothing another process does can crash this one or make it read outside a
 * frame, but for cutting shared memory short, which only its owner can: see
 * `sigbus_guard`. Frames of a reader lie in memory that the kernel maps read-only:
 * writing to them ends the process with SIGSEGV, but for `copy_on_write`.
 */
#ifndef POSSUM_H
#define POSSUM_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define POSSUM_API __attribute__((visibility("default")))
#else
#define POSSUM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header. */
#define POSSUM_VERSION_MAJOR 1
#define POSSUM_VERSION_MINOR 0

/* The version of the interface that the loaded library has: 0x10000 * major + minor. Any
 * thread. */
POSSUM_API uint32_t possum_version(void);

/* --- status and errors ------------------------------------------------------------- */

typedef enum possum_status {
  POSSUM_OK = 0,

  /* Expected outcomes. */
  POSSUM_TIMEOUT = 1,     /* the deadline came first; call again to go on */
  POSSUM_INTERRUPTED = 2, /* interrupt() was called; call again to go on */
  POSSUM_EOS = 3, /* reader: everything was taken and the writer said it was all */
  POSSUM_DISCONNECTED = 4, /* reader: everything was taken and the writer is gone, or this
                              reader is not attached: attach again */
  POSSUM_NO_SLOT = 5, /* writer: no slot could be had without waiting for readers that
                         may not be waited for; the frame is dropped and counted */

  /* Failures. */
  POSSUM_ERROR_SETTINGS = -1,      /* an argument or option makes no sense */
  POSSUM_ERROR_BUSY = -2,          /* another live writer, or 32 readers already */
  POSSUM_ERROR_NOT_FOUND = -3,     /* no channel of that name before the deadline */
  POSSUM_ERROR_NOT_OWNER = -4,     /* the name belongs to another user */
  POSSUM_ERROR_NO_PERMISSION = -5, /* the kernel refused access */
  POSSUM_ERROR_NO_SPACE = -6,      /* /dev/shm is too small */
  POSSUM_ERROR_INCOMPATIBLE = -7,  /* other layout, word size or C library over there */
  POSSUM_ERROR_NO_BLOCKING = -8,   /* the writer lets no reader hold it up */
  POSSUM_ERROR_CORRUPT = -9,       /* the channel's content or size makes no sense */
  POSSUM_ERROR_FORMAT = -10,       /* caps that are no raw video known here */
  POSSUM_ERROR_STATE = -11,        /* the object cannot do that now, or after fork() */
  POSSUM_ERROR_NO_MEMORY = -12,    /* an allocation failed */
  POSSUM_ERROR_SYSTEM = -13        /* any other failed system call */
} possum_status;

/* About the last call of this thread that returned a status other than POSSUM_OK.
 * Functions without a status, among them all that free, leave it alone. UTF-8 without
 * control characters, never NULL, "" before the first; valid until this thread's next
 * call that returns a status. Any thread. */
POSSUM_API const char* possum_error_message(void); /* for a person: what and what to do */
POSSUM_API const char* possum_error_detail(void);  /* for a developer: call, errno text */

/* "timeout", "busy", ...; "unknown" for numbers that are no status. Static. Any thread.
 */
POSSUM_API const char* possum_status_name(possum_status status);

/* --- time -------------------------------------------------------------------------- */

#define POSSUM_FOREVER INT64_MAX
#define POSSUM_AT_ONCE INT64_C(0)
#define POSSUM_NO_TIME INT64_MIN    /* a frame's time that is not known */
#define POSSUM_NO_OFFSET UINT64_MAX /* a frame's offset that is not known */

/* CLOCK_MONOTONIC now. Any thread. */
POSSUM_API int64_t possum_now_ns(void);
/* The moment `timeout_ns` from now, POSSUM_FOREVER if that is too far away or timeout_ns
 * is POSSUM_FOREVER; for 0 and less a moment that is past. Any thread. */
POSSUM_API int64_t possum_deadline(int64_t timeout_ns);

/* --- raw video and caps ------------------------------------------------------------ */

#define POSSUM_MAX_PLANES 4

/* Each frame carries caps: a media type and typed fields, as text in the form of
 * gst_caps_to_string(). Raw video is what possumsrc takes:
 *
 *   video/x-raw, format=(string)BGR, width=(int)640, height=(int)480,
 *   framerate=(fraction)30/1
 *
 * (on one line; types may be left out: format=BGR). Anything else crosses between
 * programs that use this library, for example
 * `application/x-possum-array, dtype=(string)float32, shape=(string)480x640`; possumsrc
 * refuses it with an error. Caps are UTF-8 without control characters, at most 16384
 * bytes, and begin with a media type. */

typedef enum possum_interlace {
  POSSUM_PROGRESSIVE = 0,
  POSSUM_INTERLEAVED = 1, /* both fields in each frame, line by line */
  POSSUM_MIXED = 2,       /* the frame's flags tell */
  POSSUM_FIELDS = 3,      /* two fields of half the lines, side by side in memory */
  POSSUM_ALTERNATE = 4    /* one field per frame, of (height + 1) / 2 lines */
} possum_interlace;

/* How one plane of a format lies in memory. */
typedef struct possum_plane_layout {
  uint64_t offset;      /* bytes from the first byte of the frame */
  uint64_t bytes;       /* from there: no less than (height - 1) * stride + a row */
  int32_t stride;       /* bytes from one row to the next, > 0 */
  uint32_t width;       /* columns: pixels, samples of a subsampled plane, or what packs
                           several pixels into whole bytes: six in 16 for v210 */
  uint32_t height;      /* rows */
  uint32_t pixel_bytes; /* bytes from one column to the next: 3 for BGR, 2 for the UV
                           plane of NV12, 16 for v210 */
  uint64_t reserved;
} possum_plane_layout;

/* What the caps of raw video say, and the layout that GStreamer gives such a frame by
 * default (gst_video_info_set_format()), which all sides assume where a frame says
 * nothing else. */
typedef struct possum_video {
  size_t size;         /* set by possum_video_init() */
  char format[32];     /* GStreamer's name: "BGR", "NV12", ...: GstVideoFormat */
  int32_t width;       /* pixels */
  int32_t height;      /* lines, of the whole frame also where fields alternate */
  int32_t framerate_n; /* frames a second as a fraction; 0/1: variable or unknown */
  int32_t framerate_d;
  int32_t par_n; /* pixel aspect ratio, 1/1 */
  int32_t par_d;
  int32_t interlace;    /* possum_interlace */
  uint32_t plane_count; /* 1..POSSUM_MAX_PLANES */
  uint64_t bytes;       /* of a frame in this layout */
  char colorimetry[64]; /* as in the caps, "" if they do not say */
  char chroma_site[64]; /* likewise */
  possum_plane_layout planes[POSSUM_MAX_PLANES];
} possum_video;

/* The formats that the functions below know, as GStreamer names them; NULL from the
 * first index on that has none. Static. Any thread. */
POSSUM_API const char* possum_video_format(unsigned index);

/* No format, 0 x 0, progressive, 0/1, pixel aspect ratio 1/1. `size`: sizeof *video. Any
 * thread. */
POSSUM_API void possum_video_init(possum_video* video, size_t size);

/* Sets format, width, height and the default layout for them and `interlace`; leaves
 * the other members alone. `width` and `height`: 1..32767. POSSUM_ERROR_FORMAT: no such
 * format here; POSSUM_ERROR_SETTINGS: no such size. Any thread. */
POSSUM_API possum_status possum_video_set_format(possum_video* video, const char* format,
                                                 int32_t width, int32_t height);

/* Fills all members from caps text. POSSUM_ERROR_FORMAT: not raw video, not fixed (lists
 * or ranges), a field is missing or of no use, or a format not known here. Any thread. */
POSSUM_API possum_status possum_video_from_caps(possum_video* video, const char* caps);

/* Writes the caps text for format, size, rates, interlacing, colorimetry and chroma site
 * into `text`, with a NUL, at most `text_bytes`; cut off if that is too few. Returns the
 * length that the whole text has, without NUL, as snprintf() does; 0 if the members make
 * no caps. A buffer of 512 bytes is enough for any. Any thread. */
POSSUM_API size_t possum_video_to_caps(const possum_video* video, char* text,
                                       size_t text_bytes);

/* Any caps: the value of `field` of the first structure, without type and quotes, escapes
 * resolved ("30/1", "NV12"; lists and ranges as they stand), or the media type for
 * field NULL. Written as by possum_video_to_caps(). Returns the length of the whole
 * value; SIZE_MAX if there is no such field or the text is no caps. Any thread. */
POSSUM_API size_t possum_caps_get(const char* caps, const char* field, char* value,
                                  size_t value_bytes);

/* --- writer ------------------------------------------------------------------------ */

/* The writing end of a channel. */
typedef struct possum_writer possum_writer;
/* The memory of one frame, and the right to fill and publish it once. */
typedef struct possum_slot possum_slot;

typedef struct possum_writer_options {
  size_t size;         /* set by possum_writer_options_init() */
  const char* channel; /* [A-Za-z0-9_][A-Za-z0-9._-]{0,119}; NULL: "default" */
  const char* caps;   /* of the frames to come; NULL: possum_writer_set_caps() will say */
  size_t frame_bytes; /* of one frame; 0: as the caps say if they are raw video, whose
                         format has to be a known one then, else each borrow says */
  uint32_t slots;     /* 3..32, default 16: the most frames the pool may grow to. It
                         starts with four and grows as readers hold more */
  uint32_t perms;     /* who may attach: 0600 this user (the default), 0660 the group
                         too, 0666 everybody; nobody else ever writes pixels */
  const char* group;  /* name or number of the group that perms lets in; NULL: default */
  int64_t max_blocking_ns;  /* how long a blocking reader may stand still before it
                               becomes a dropping one; default POSSUM_FOREVER */
  int64_t claim_timeout_ns; /* how long a name that another writer holds is tried for:
                               2 s; a killed writer's name is free a moment later */
  int32_t allow_blocking;   /* 0: POSSUM_BLOCKING readers are refused. 1: they may hold
                               up this writer */
  int32_t sigbus_guard;     /* 1: survive somebody who truncates the shared memory.
                               Installs a SIGBUS handler for the whole process, for good;
                               other SIGBUS goes on to the handler before it */
} possum_writer_options;

/* `size`: sizeof *options. Any thread. */
POSSUM_API void possum_writer_options_init(possum_writer_options* options, size_t size);

/* Claims the channel and makes the first slots, if their size is known. Starts a thread
 * that looks after readers; it takes no signals. Waits for at most claim_timeout_ns,
 * for nobody else. `*writer` is NULL on failure, otherwise for possum_writer_close().
 * Any thread.
 * SETTINGS, FORMAT (raw video that no size follows from), BUSY (names the other writer),
 * NOT_OWNER, NO_PERMISSION, NO_SPACE (says how much is needed and there), NO_MEMORY,
 * SYSTEM. */
POSSUM_API possum_status possum_writer_open(const possum_writer_options* options,
                                            possum_writer** writer);

/* Removes the channel's names and lets readers know that the writer has gone. Without
 * EOS before it they wait for the next writer. A frame that was not taken yet can be lost
 * to its reader: call possum_writer_eos() and possum_writer_drain() first to be sure that
 * blocking readers have all. Waits for nobody. Slots in hand stay valid memory and are
 * still to be released. NULL: nothing. Any thread, with no other call on
 * this writer going on: interrupt and join first. */
POSSUM_API void possum_writer_close(possum_writer* writer);

/* Caps of the frames that are published from here on, and their size, as in the options.
 * Readers get them with the first such frame. A slot borrowed before keeps its size, and
 * has room for caps of 2048 bytes or as many as were set then. Touches no shared memory.
 * Any thread. SETTINGS if the text is no caps, FORMAT as for opening. */
POSSUM_API possum_status possum_writer_set_caps(possum_writer* writer, const char* caps,
                                                size_t frame_bytes);

/* Lends a slot with room for `bytes` (0: the frame size of the caps). `*slot` is for
 * possum_slot_release(), exactly once, whatever becomes of it until then; NULL if the
 * status is not OK. Its old content is whatever an earlier frame left there. Waits only
 * while blocking readers hold all slots. Several slots may be borrowed at once, up to
 * `slots` minus 2; one at a time leaves readers the most. Those that were published or
 * given up do not count. Gives up a frame whose publication was not finished. Any thread.
 * TIMEOUT, INTERRUPTED, NO_SLOT, SETTINGS (no size known), NO_SPACE, STATE, NO_MEMORY,
 * and the reason when the channel is lost for good. */
POSSUM_API possum_status possum_writer_borrow(possum_writer* writer, size_t bytes,
                                              int64_t deadline_ns, possum_slot** slot);

/* First byte of the slot, page aligned; NULL for NULL and after fork(). Mapped until the
 * release, also when the writer was closed, but to be written only until the first try to
 * publish: from there on readers may be looking at these bytes. Once the frame is
 * published and readers are through with it, they are those of a later frame. Any thread.
 */
POSSUM_API void* possum_slot_data(const possum_slot* slot);
/* Bytes from there on, at least what was asked for. Any thread. */
POSSUM_API size_t possum_slot_bytes(const possum_slot* slot);
/* Ends what possum_writer_borrow() began, exactly once for each slot: a slot that was not
 * published goes back, one whose publication is not finished is given up (readers that
 * had no room miss the frame), of one that was published only the handle goes. Pointers
 * into the slot are dead. NULL: nothing. Any thread, but not while the slot is being
 * published. */
POSSUM_API void possum_slot_release(possum_slot* slot);

/* Bits of `flags`: those of GstBuffer and GstVideoBuffer, with GStreamer's values. Other
 * bits of them cross as well. */
#define POSSUM_FLAG_DISCONT 0x40u    /* does not follow the frame before */
#define POSSUM_FLAG_CORRUPTED 0x100u /* the content is damaged */
#define POSSUM_FLAG_MARKER 0x200u
#define POSSUM_FLAG_GAP 0x800u /* neutral content that stands for nothing */
#define POSSUM_FLAG_DROPPABLE 0x1000u
#define POSSUM_FLAG_DELTA_UNIT 0x2000u
#define POSSUM_FLAG_INTERLACED 0x100000u
#define POSSUM_FLAG_TFF 0x200000u /* top field first; with ONEFIELD: the top field */
#define POSSUM_FLAG_RFF 0x400000u /* repeat the first field */
#define POSSUM_FLAG_ONEFIELD 0x800000u

/* Where a plane of a frame to publish begins, and its rows. */
typedef struct possum_plane {
  uint64_t offset; /* from the first byte of the frame */
  int32_t stride;  /* bytes from one row to the next, > 0 */
  uint32_t reserved;
} possum_plane;

/* What is known of a frame besides its pixels. */
typedef struct possum_frame_params {
  size_t size;        /* set by possum_frame_params_init() */
  int64_t capture_ns; /* CLOCK_MONOTONIC moment that the picture shows. NO_TIME: now, but
                         for frames with a pts_ns, which then have none */
  int64_t pts_ns;     /* presentation time of recorded material, from its beginning, >= 0.
                         NO_TIME: the time from open to capture */
  int64_t dts_ns;     /* decoding time likewise; NO_TIME */
  int64_t duration_ns;  /* >= 0; NO_TIME */
  int64_t latency_ns;   /* how long the source holds a picture back by its nature; 0 */
  uint64_t offset;      /* a frame number or byte position of the source's own */
  uint64_t offset_end;  /* both NO_OFFSET */
  uint32_t flags;       /* POSSUM_FLAG_..., 0 */
  uint32_t plane_count; /* 0: the planes lie where the caps' default layout has them;
                           else as many as the format has: `planes` */
  uint64_t bytes;       /* of the frame, from the first byte of the slot or data; 0: the
                           frame size of the caps, else as many as were borrowed */
  possum_plane planes[POSSUM_MAX_PLANES];
} possum_frame_params;

/* `size`: sizeof *params. Any thread. */
POSSUM_API void possum_frame_params_init(possum_frame_params* params, size_t size);

/* Offers the frame in `slot` to all readers, and to those that come before the next. No
 * copy. `params` may be NULL: captured now, default layout. From here on the slot is not
 * to be written. Whatever the status, the slot is still to be released, before or after
 * readers are through with the frame. Waits only while a blocking reader has no room. Any
 * thread.
 * TIMEOUT, INTERRUPTED: readers that had room have the frame already. Call again with the
 * same slot to go on (`params` count only the first time), or release it to let the
 * others miss the frame.
 * SETTINGS (no caps, planes that do not fit format or slot, caps that grew after the
 * borrowing): nothing was published; call again with better ones.
 * NO_SLOT: the channel was made anew; the frame is dropped and counted. STATE: published
 * before, given up for another frame, or after fork(). The reason when the channel is
 * lost for good. */
POSSUM_API possum_status possum_writer_publish(possum_writer* writer, possum_slot* slot,
                                               const possum_frame_params* params,
                                               int64_t deadline_ns);

/* Copies a frame into a slot and publishes it. `data` holds `bytes` bytes; with planes in
 * `params` these describe `data`, whose rows are then copied into the caps' default
 * layout. Waits as possum_writer_borrow() and possum_writer_publish() do. Any thread.
 * TIMEOUT, INTERRUPTED: the frame is given up, readers that had no room miss it. Who
 * wants to go on with the same frame after that borrows a slot, copies and publishes it.
 * All failures of borrow and publish but STATE for frames given up. */
POSSUM_API possum_status possum_writer_write(possum_writer* writer, const void* data,
                                             size_t bytes,
                                             const possum_frame_params* params,
                                             int64_t deadline_ns);

/* Waits until at least `count` readers are attached; a killed one counts for up to
 * 250 ms. Any thread. TIMEOUT, INTERRUPTED, and the reason when the channel is lost. */
POSSUM_API possum_status possum_writer_wait_readers(possum_writer* writer, unsigned count,
                                                    int64_t deadline_ns);
/* Attached readers now. Any thread. */
POSSUM_API unsigned possum_writer_reader_count(const possum_writer* writer);

/* Says that no frame follows: readers get EOS after the last one. A state, taken back by
 * the next publication or flush. Waits for nobody. Any thread. */
POSSUM_API void possum_writer_eos(possum_writer* writer);
/* Waits until each blocking reader has taken what it was offered, or has left. Any
 * thread. TIMEOUT, INTERRUPTED, and the reason when the channel is lost. */
POSSUM_API possum_status possum_writer_drain(possum_writer* writer, int64_t deadline_ns);
/* Withdraws frames that were not taken yet, except from blocking readers, and takes EOS
 * back; readers see another `flush_id`. Any thread. */
POSSUM_API void possum_writer_flush(possum_writer* writer);

/* `on` not 0: ends every wait of this writer, those going on and those to come, until it
 * is called with 0. Any thread. */
POSSUM_API void possum_writer_interrupt(possum_writer* writer, int on);

typedef struct possum_writer_statistics {
  uint64_t frames;    /* published */
  uint64_t bytes;     /* in them */
  uint64_t zero_copy; /* of the frames: borrowed, filled, published */
  uint64_t copied;    /* of the frames: possum_writer_write() */
  uint64_t no_slot;   /* frames dropped for want of a slot */
  uint32_t slots;     /* in the pool */
  uint32_t held;      /* slots that some reader holds */
  uint32_t borrowed;  /* slots that this program has borrowed and not yet published or
                         released */
  uint32_t readers;   /* attached */
} possum_writer_statistics;

/* All 0 after fork(). `size`: sizeof *statistics. Any thread. */
POSSUM_API void possum_writer_get_statistics(const possum_writer* writer,
                                             possum_writer_statistics* statistics,
                                             size_t size);

/* What a reader does when `depth` frames wait for it. */
typedef enum possum_policy {
  POSSUM_DROP_OLDEST = 0, /* the newest frames count; with depth 1 only the newest */
  POSSUM_DROP_NEWEST = 1, /* what waits already counts */
  POSSUM_BLOCKING = 2     /* every frame counts: the writer waits, if it allows that */
} possum_policy;

typedef struct possum_reader_info {
  uint32_t index;     /* 0..31: its place; a successor may get it again */
  uint32_t pid;       /* as the reader says, in its own PID namespace */
  int32_t policy;     /* possum_policy */
  int32_t demoted;    /* 1: stood still for max_blocking_ns and drops now */
  uint32_t waiting;   /* frames offered, not yet taken */
  uint32_t held;      /* frames taken, not yet released */
  uint64_t delivered; /* frames, as the reader says */
  uint64_t dropped;   /* frames it was not given */
} possum_reader_info;

/* Describes up to `max` attached readers, `size` (sizeof *readers) bytes each. Returns
 * how many there are, perhaps more than `max`. Any thread. */
POSSUM_API unsigned possum_writer_get_readers(const possum_writer* writer,
                                              possum_reader_info* readers, size_t size,
                                              unsigned max);

/* --- reader ------------------------------------------------------------------------ */

/* The reading end of a channel. */
typedef struct possum_reader possum_reader;
/* One frame in the hands of this process: a lease on a slot, or a private copy. */
typedef struct possum_frame possum_frame;

typedef struct possum_reader_options {
  size_t size;               /* set by possum_reader_options_init() */
  const char* channel;       /* as for writers; NULL: "default" */
  int32_t policy;            /* possum_policy, default POSSUM_DROP_OLDEST */
  uint32_t depth;            /* 1..16 frames that may wait for this reader, default 3 */
  const char* allowed_owner; /* user (name or number) besides this one and root whose
                                channels are accepted; "any"; NULL: no other */
  int32_t ignore_eos;        /* 1: EOS is a pause. Waits go on until a frame comes or the
                                writer is gone */
  int32_t copy;              /* 1: each frame is a private copy, its slot goes back at
                                once: for programs that keep many frames */
  int32_t sigbus_guard;      /* as for writers: CORRUPT instead of a crash. Frames in hand
                                turn to zeros */
  int32_t copy_on_write;     /* 0: writing to a frame's bytes ends the process. 1: it may
                                be done by mistake, as by a function that draws on what it
                                should only look at. What is written is seen in this very
                                frame, by this process; it takes a copy of the page and is
                                gone with the last reference to the frame. Looking costs
                                nothing. Installs a SIGSEGV handler for the whole process,
                                for good; other SIGSEGV goes on to the handler before it,
                                but for that of raise() while such a reader is there, which
                                does nothing */
} possum_reader_options;

/* `size`: sizeof *options. Any thread. */
POSSUM_API void possum_reader_options_init(possum_reader_options* options, size_t size);

/* Makes a reader that is not attached yet. Touches no channel, waits for nothing.
 * `*reader` is NULL on failure, otherwise for possum_reader_close(). Any thread.
 * SETTINGS, NO_MEMORY. */
POSSUM_API possum_status possum_reader_open(const possum_reader_options* options,
                                            possum_reader** reader);
/* Leaves the channel and frees the reader. Frames in hand stay valid. NULL: nothing. Any
 * thread, with no other call on this reader going on: interrupt and join first. */
POSSUM_API void possum_reader_close(possum_reader* reader);

/* Waits for the channel to have a writer and attaches. Leaves an earlier one first. One
 * thread at a time, together with take and next.
 * INTERRUPTED. NOT_FOUND, BUSY (32 readers), NOT_OWNER, NO_PERMISSION: the deadline came,
 * waiting longer may help; the message says what lies under the name, if anything does.
 * Waiting would not help: INCOMPATIBLE, NO_BLOCKING, CORRUPT, STATE, NO_MEMORY, SYSTEM.
 */
POSSUM_API possum_status possum_reader_attach(possum_reader* reader, int64_t deadline_ns);
/* Leaves the channel. Frames in hand stay valid. One thread at a time, with take. */
POSSUM_API void possum_reader_detach(possum_reader* reader);
/* 1 from attach to detach or failure, also while the writer is gone. Any thread. */
POSSUM_API int possum_reader_is_attached(const possum_reader* reader);

/* Takes the oldest waiting frame, or waits for one. `*frame` is the caller's until
 * possum_frame_release(), NULL if the status is not OK. One thread at a time.
 * TIMEOUT, INTERRUPTED, EOS (again with each call until this writer has another frame),
 * DISCONNECTED (possum_reader_attach() waits for the next writer). CORRUPT,
 * SYSTEM: this attachment is over and the reader detached, attach again. STATE,
 * NO_MEMORY. */
POSSUM_API possum_status possum_reader_take(possum_reader* reader, int64_t deadline_ns,
                                            possum_frame** frame);

/* The loop of most programs in one call: attaches if need be, takes a frame, and when the
 * writer has gone waits for the next one. One thread at a time.
 * EOS (to read on with the next writer set ignore_eos, or call possum_reader_detach()
 * first), INTERRUPTED, TIMEOUT (attached, no frame), NOT_FOUND, BUSY, NOT_OWNER or
 * NO_PERMISSION (not attached) when the deadline comes; the failures of attach and take,
 * after which the reader is detached and the next call starts anew. */
POSSUM_API possum_status possum_reader_next(possum_reader* reader, int64_t deadline_ns,
                                            possum_frame** frame);

/* Lets go of all waiting frames but the newest; they count as missed. One thread at a
 * time, with take. */
POSSUM_API void possum_reader_skip_to_newest(possum_reader* reader);

/* As possum_writer_interrupt(): ends waits in attach, take and next. Any thread. */
POSSUM_API void possum_reader_interrupt(possum_reader* reader, int on);

typedef struct possum_reader_statistics {
  uint64_t frames;      /* taken */
  uint64_t bytes;       /* in them */
  uint64_t missed;      /* frames of the attached writers that this reader did not get */
  uint64_t copied;      /* of the frames: private copies, because slots ran short, this
                           reader held 8 frames, or `copy` is set */
  uint64_t attachments; /* successful: one more than there were reconnects */
  uint32_t writer_pid;  /* of the last writer attached to, in its PID namespace; 0 */
  char writer_name[20]; /* of its program, "" before */
} possum_reader_statistics;

/* `size`: sizeof *statistics. Any thread. */
POSSUM_API void possum_reader_get_statistics(const possum_reader* reader,
                                             possum_reader_statistics* statistics,
                                             size_t size);

/* --- frames ------------------------------------------------------------------------ */

/* One plane of a frame in hand. `bytes` from `data` on are readable, always; where
 * `height` is not 0, rows 0..height-1 of `width` columns lie within them. */
typedef struct possum_frame_plane {
  const void* data;
  uint64_t bytes;
  uint64_t offset; /* of `data` from possum_frame_info.data */
  int32_t stride;  /* bytes from one row to the next. Of a format that is not known
                      here only what the writer said, for tiled ones no byte count */
  uint32_t width;  /* as in possum_plane_layout; 0 where the format is not known */
  uint32_t height;
  uint32_t pixel_bytes;
  uint64_t reserved;
} possum_frame_plane;

typedef struct possum_frame_info {
  const void* data;    /* first byte of the frame; read-only */
  uint64_t bytes;      /* from there, all of it readable */
  const char* caps;    /* as possum_frame_caps() */
  uint64_t seq;        /* 1, 2, 3, ... for each writer; gaps are missed frames */
  uint64_t missed;     /* frames that this reader missed right before this one */
  uint64_t writer_id;  /* another number for each writer, also of the same name */
  int64_t capture_ns;  /* CLOCK_MONOTONIC moment that the picture shows; the time of
                          publication where the writer does not know */
  int64_t publish_ns;  /* CLOCK_MONOTONIC */
  int64_t pts_ns;      /* the writer's running time (GStreamer), or what a program gave */
  int64_t dts_ns;      /* likewise. Both NO_TIME where there is none */
  int64_t duration_ns; /* or NO_TIME */
  int64_t latency_ns;  /* of the writer's source, >= 0 */
  uint64_t offset;     /* of the source's own, or NO_OFFSET */
  uint64_t offset_end;
  uint32_t flags;       /* POSSUM_FLAG_... and other GstBufferFlags */
  uint32_t flush_id;    /* changes when the writer was flushed: times may start anew */
  int32_t is_copy;      /* 1: private memory; 0: a lease on the writer's slot */
  int32_t is_video;     /* 1: raw video of a format known here, checked: width, height and
                           the planes' rows can be relied on */
  uint32_t width;       /* of the picture, 0 if not known */
  uint32_t height;      /* of this frame: of one field where fields alternate */
  uint32_t plane_count; /* 0..POSSUM_MAX_PLANES; 0 if the writer described none */
  uint32_t reserved;
  possum_frame_plane planes[POSSUM_MAX_PLANES];
} possum_frame_info;

/* Everything about the frame. `size`: sizeof *info. The pointers in it live as long as
 * the frame. Any thread. */
POSSUM_API void possum_frame_get_info(const possum_frame* frame, possum_frame_info* info,
                                      size_t size);
/* UTF-8 with NUL and without control characters, as long as the frame lives. The same
 * pointer for frames of equal caps that one attachment takes in a row. Any thread. */
POSSUM_API const char* possum_frame_caps(const possum_frame* frame);
/* What the caps say, with the layout of this very frame instead of the default one.
 * POSSUM_ERROR_FORMAT if it is no raw video known here. Any thread. */
POSSUM_API possum_status possum_frame_get_video(const possum_frame* frame,
                                                possum_video* video);

/* One more owner of the frame; returns `frame`. Any thread. */
POSSUM_API possum_frame* possum_frame_ref(possum_frame* frame);
/* One owner less; with the last one the slot goes back to the writer and every pointer
 * into the frame is dead. Until then they are good, whatever happens to reader, writer
 * or channel. NULL: nothing. Any thread. */
POSSUM_API void possum_frame_release(possum_frame* frame);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* POSSUM_H */
