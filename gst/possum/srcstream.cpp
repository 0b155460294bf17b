// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. Everything on the bus is posted from here and from the streaming
// thread: a PROGRESS message sent during a state change would hang gst-launch-1.0.
#include "srcstream.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/clock.h"
#include "base/text.h"
#include "caps.h"
#include "element.h"
#include "frameinfo.h"
#include "inspect/observer.h"
#include "planes.h"
#include "slotmemory.h"
#include "transport/frame_times.h"

GST_DEBUG_CATEGORY_EXTERN(gst_possum_src_debug);
#define GST_CAT_DEFAULT gst_possum_src_debug

namespace possum {
namespace {

constexpr std::int64_t kNoDeadline = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kAtOnce = 0;  // a deadline in the past: one try
constexpr std::int64_t kMomentNs = kNanosecondsPerSecond / 4;
constexpr char kProgressCode[] = "connect";

std::string text_of(const GstCaps* caps) {
  const Ref<gchar> text{gst_caps_to_string(caps)};
  return text.get();
}

std::int64_t deadline_after(GstClockTime timeout) {
  std::int64_t deadline_ns = 0;
  if (timeout == 0 || timeout > static_cast<GstClockTime>(kNoDeadline) ||
      __builtin_add_overflow(monotonic_ns(), static_cast<std::int64_t>(timeout),
                             &deadline_ns)) {
    return kNoDeadline;
  }
  return deadline_ns;
}

// What the caps say of the time from one buffer to the next; 0 if nothing.
std::int64_t nominal_spacing_ns(const GstVideoInfo& info) {
  const gint rate = GST_VIDEO_INFO_FIELD_RATE_N(&info);
  if (rate <= 0) return 0;
  return static_cast<std::int64_t>(
      gst_util_uint64_scale_int(GST_SECOND, GST_VIDEO_INFO_FPS_D(&info), rate));
}

std::string name_of_writer(const transport::ReaderStatistics& statistics) {
  return "pid " + std::to_string(statistics.writer_pid) + " (" +
         plain_text(statistics.writer_name) + ")";
}

}  // namespace

// --- life ----------------------------------------------------------------------------

std::shared_ptr<SrcStream> SrcStream::open(GstBaseSrc* element,
                                           const SrcSettings& settings, Error& error) {
  std::optional<transport::ReaderOptions> options = settings.reader_options(error);
  if (!options) return nullptr;
  auto reader = transport::Reader::create(*std::move(options), error);
  if (!reader) return nullptr;
  return std::shared_ptr<SrcStream>(new SrcStream(element, settings, std::move(reader)));
}

SrcStream::SrcStream(GstBaseSrc* element, const SrcSettings& settings,
                     std::unique_ptr<transport::Reader> reader)
    : base_(element),
      settings_(settings),
      reader_(std::move(reader)),
      timeline_(settings.is_live),
      max_buffers_(settings.max_buffers),
      connection_timeout_(settings.connection_timeout),
      copy_frames_(settings.copy_frames),
      latency_(may_drop() ? settings.max_buffers : 0) {
  gst_video_info_init(&info_);
}

void SrcStream::follow(const SrcSettings& settings) {
  connection_timeout_ = settings.connection_timeout;
  copy_frames_ = settings.copy_frames;
  if (max_buffers_.exchange(settings.max_buffers) == settings.max_buffers) return;
  reader_->set_depth(settings.max_buffers);
  if (may_drop()) latency_.set_buffers(settings.max_buffers);
}

void SrcStream::interrupt() {
  set_announced();
  const MutexLock lock(lock_);
  interrupted_ = true;
  reader_->interrupt(true);
}

// Also called where nobody has interrupted, and then it is no flush.
void SrcStream::resume() {
  const MutexLock lock(lock_);
  if (!std::exchange(interrupted_, false)) return;
  flushed_.store(true);
  reader_->interrupt(false);
}

Ref<GstCaps> SrcStream::caps() const {
  const MutexLock lock(lock_);
  return caps_ ? share(caps_.get()) : nullptr;
}

void SrcStream::close() {
  leave();
  GST_INFO_OBJECT(base_, "has left the channel");
  const MutexLock lock(lock_);
  caps_.reset();
}

GstStructure* SrcStream::statistics() const {
  return src_stats(reader_->statistics(), counters_);
}

// --- the channel ---------------------------------------------------------------------

GstFlowReturn SrcStream::create(GstBuffer** buffer) {
  if (flushed_.exchange(false)) {
    timeline_.flush();
    knows_strides_.reset();
    catch_up_.store(true);
  }
  asked_ns_ = monotonic_ns();
  transport::Frame frame;
  GstFlowReturn flow = next_frame(frame);
  if (flow == GST_FLOW_OK) flow = deliver(std::move(frame), buffer);
  // Nothing is taken after EOS or an error: the writer must not wait for it.
  if (flow <= GST_FLOW_EOS) reader_->detach();
  return flow;
}

GstFlowReturn SrcStream::next_frame(transport::Frame& frame) {
  GstFlowReturn flow = GST_FLOW_OK;
  while (flow == GST_FLOW_OK) {
    Error error;
    switch (reader_->take(kNoDeadline, frame, error)) {
      case transport::TakeStatus::frame:
        return await_playing(frame);
      case transport::TakeStatus::eos:
        GST_INFO_OBJECT(base_, "EOS from the writer");
        flow = settings_.ignore_eos ? disconnected() : GST_FLOW_EOS;
        break;
      case transport::TakeStatus::disconnected:  // or not yet attached
        flow = reader_->attached() ? disconnected() : connect();
        break;
      case transport::TakeStatus::interrupted:
        return GST_FLOW_FLUSHING;
      case transport::TakeStatus::failed:
        post_error(element(), Side::src, error);
        return GST_FLOW_ERROR;
      case transport::TakeStatus::timeout:
        break;
    }
  }
  return flow;
}

GstFlowReturn SrcStream::connect() {
  Error error;
  waited_ = false;
  const transport::AttachStatus status =
      reader_->attach(deadline_after(connection_timeout_), error,
                      [this](const Error& why) { waiting(why); });
  if (status != transport::AttachStatus::attached) return connect_failed(status, error);
  const std::string text = "Attached to channel \"" + settings_.channel + "\" of " +
                           name_of_writer(reader_->statistics());
  GST_INFO_OBJECT(base_, "%s", text.c_str());
  if (waited_) post_progress(GST_PROGRESS_TYPE_COMPLETE, text);
  discont_ = true;
  const std::uint64_t incarnation = reader_->incarnation();
  new_writer_ |= std::exchange(incarnation_, incarnation) != incarnation;
  taken_ = 0;
  // What waits for a reader that just came is the newest frame alone.
  catch_up_.store(false);
  return GST_FLOW_OK;
}

// In the streaming thread, from within Reader::attach().
void SrcStream::waiting(const Error& why) {
  GST_INFO_OBJECT(base_, "waiting: %s (%s)", why.message.c_str(), why.detail.c_str());
  const bool more = std::exchange(waited_, true);
  post_progress(more ? GST_PROGRESS_TYPE_CONTINUE : GST_PROGRESS_TYPE_START,
                "Waiting for channel \"" + settings_.channel + "\": " + why.message);
}

GstFlowReturn SrcStream::connect_failed(transport::AttachStatus status,
                                        const Error& error) {
  const std::string channel = "channel \"" + settings_.channel + "\"";
  if (status == transport::AttachStatus::interrupted) {
    if (waited_) {
      post_progress(GST_PROGRESS_TYPE_CANCELED, "No longer waiting for " + channel);
    }
    return GST_FLOW_FLUSHING;
  }
  if (waited_) post_progress(GST_PROGRESS_TYPE_ERROR, "Did not find " + channel);
  post_error(element(), Side::src, error);
  return GST_FLOW_ERROR;
}

// OK: look for the next writer.
GstFlowReturn SrcStream::disconnected() {
  const std::string writer = name_of_writer(reader_->statistics());
  GST_INFO_OBJECT(base_, "the writer, %s, has left", writer.c_str());
  reader_->detach();
  switch (settings_.on_disconnect) {
    case OnDisconnect::wait:
      return GST_FLOW_OK;
    case OnDisconnect::eos:
      return GST_FLOW_EOS;
    case OnDisconnect::error:
      break;
  }
  GST_ELEMENT_ERROR(base_, RESOURCE, READ,
                    ("The writer of channel \"%s\" has gone: start it again, or set "
                     "on-disconnect=wait to wait for the next one",
                     settings_.channel.c_str()),
                    ("it was %s", writer.c_str()));
  return GST_FLOW_ERROR;
}

// A live source shows nothing in PAUSED. Back in PLAYING, and after a flush, a reader
// that may drop goes on with the newest frame: what waited meanwhile is past.
GstFlowReturn SrcStream::await_playing(transport::Frame& frame) {
  if (!settings_.is_live) return GST_FLOW_OK;
  const GstFlowReturn flow = gst_base_src_wait_playing(base_);
  if (flow != GST_FLOW_OK || !catch_up_.exchange(false) || !may_drop()) return flow;
  caught_up_ = true;
  reader_->skip_to_newest();
  transport::Frame newer;
  Error error;
  switch (reader_->take(kAtOnce, newer, error)) {
    case transport::TakeStatus::frame:
      frame = std::move(newer);
      discont_ = true;
      break;
    case transport::TakeStatus::failed:
      post_error(element(), Side::src, error);
      return GST_FLOW_ERROR;
    default:
      break;  // will be said again
  }
  timeline_.restart();
  return GST_FLOW_OK;
}

void SrcStream::post_progress(GstProgressType type, const std::string& text) {
  gst_element_post_message(
      element(), gst_message_new_progress(GST_OBJECT_CAST(base_), type, kProgressCode,
                                          text.c_str()));
}

// --- caps ----------------------------------------------------------------------------

GstFlowReturn SrcStream::corrupt(const std::string& what,
                                 const std::string& detail) const {
  post_error(
      element(), Side::src,
      make_error(ErrorCode::corrupt,
                 "channel \"" + settings_.channel + "\" " + what + ": restart its writer",
                 detail));
  return GST_FLOW_ERROR;
}

GstFlowReturn SrcStream::not_for_us(const ChannelCaps& read, const std::string& text) {
  if (read.kind == CapsKind::corrupt) {
    return corrupt("carries caps that are no raw video", "caps " + plain_text(text));
  }
  const Ref<gchar> version{gst_version_string()};
  const std::string channel = "channel \"" + settings_.channel + "\" carries ";
  const std::string sentence =
      read.kind == CapsKind::other
          ? channel + read.name + ": read it with libpossum or Python"
          : channel + "raw video in the format " + read.name + ", which " +
                version.get() +
                " does not know: put videoconvert and a capsfilter with another format "
                "before its possumsink";
  GST_ELEMENT_ERROR(base_, STREAM, WRONG_TYPE, ("%s", sentence.c_str()),
                    ("caps %s", plain_text(text).c_str()));
  return GST_FLOW_ERROR;
}

void SrcStream::negotiate() {
  caps_text_.reset();
  if (!caps()) announce_caps();
  if (!caps()) set_announced();  // else when downstream has answered for these caps
}

void SrcStream::set_announced() {
  const MutexLock lock(lock_);
  announced_ = true;
  announcement_.notify_all();
}

void SrcStream::await_announcement() {
  const std::int64_t deadline_ns = monotonic_ns() + kMomentNs;
  const MutexLock lock(lock_);
  while (!announced_ && announcement_.wait_until(lock_, deadline_ns)) {
  }
}

// Aggregators and muxers choose their output by what they know when they start. A live
// source takes no frame before PLAYING, so that nobody counts on it or waits for it; the
// caps of the newest frame can be seen from outside. The next frame may have others.
void SrcStream::announce_caps() {
  const std::optional<std::string> text = inspect::newest_caps(reader_->options());
  if (!text) return;
  ChannelCaps read = read_caps(*text);
  if (read.kind != CapsKind::raw_video || !downstream_takes(read.caps.get())) return;
  if (push_caps(std::move(read.caps)) != GST_FLOW_OK) return;
  GstSegment segment;
  {
    const ObjectLock lock(base_);
    segment = base_->segment;
  }
  // GstBaseSrc sends it again with the first frame.
  gst_pad_push_event(GST_BASE_SRC_PAD(base_), gst_event_new_segment(&segment));
}

GstFlowReturn SrcStream::follow_caps(const transport::Frame& frame) {
  if (frame.caps() == caps_text_) return GST_FLOW_OK;
  ChannelCaps read = read_caps(*frame.caps());
  if (read.kind != CapsKind::raw_video) return not_for_us(read, *frame.caps());
  if (!read.left_out.empty()) {
    GST_WARNING_OBJECT(base_, "%zu fields do not get into the caps, such as %s",
                       read.left_out.size(), read.left_out.front().c_str());
  }
  // A writer may change fields that are left out as often as it likes.
  const Ref<GstCaps> sent{gst_pad_get_current_caps(GST_BASE_SRC_PAD(base_))};
  if (!sent || !gst_caps_is_equal(sent.get(), read.caps.get())) {
    const GstFlowReturn flow = push_caps(std::move(read.caps));
    if (flow != GST_FLOW_OK) return flow;
  }
  caps_text_ = frame.caps();
  info_ = read.info;
  return GST_FLOW_OK;
}

GstFlowReturn SrcStream::push_caps(Ref<GstCaps> caps) {
  if (!downstream_takes(caps.get())) {
    post_refused(caps.get());
    return GST_FLOW_NOT_NEGOTIATED;
  }
  GST_INFO_OBJECT(base_, "new caps %s", text_of(caps.get()).c_str());
  {
    // Before the event: downstream may ask for our caps while it looks at them.
    const MutexLock lock(lock_);
    caps_ = share(caps.get());
  }
  knows_strides_.reset();
  // What downstream thinks of the event comes with the next buffer: it cannot be sent
  // only while the own pad is being shut.
  return gst_base_src_set_caps(base_, caps.get()) ? GST_FLOW_OK : GST_FLOW_FLUSHING;
}

// A CAPS event that is refused fails silently, and behind a queue much later; so ask
// before. The caps query also reaches what lies behind converters.
bool SrcStream::downstream_takes(GstCaps* caps) const {
  GstPad* const pad = GST_BASE_SRC_PAD(base_);
  const Ref<GstCaps> taken{gst_pad_peer_query_caps(pad, caps)};
  return !gst_caps_is_empty(taken.get()) && gst_pad_peer_query_accept_caps(pad, caps);
}

void SrcStream::post_refused(GstCaps* caps) const {
  GstPad* const pad = GST_BASE_SRC_PAD(base_);
  const Ref<GstCaps> accepted{gst_pad_peer_query_caps(pad, nullptr)};
  const std::string text = explain_refusal(
      caps, accepted.get(), pad,
      {"behind possumsrc", "at the writer",
       "channel \"" + settings_.channel + "\" now carries", "downstream takes"});
  GST_ELEMENT_ERROR(base_, STREAM, FORMAT, ("%s", text.c_str()),
                    ("carried: %s; downstream: %s", text_of(caps).c_str(),
                     text_of(accepted.get()).c_str()));
}

void SrcStream::allocation_answered(GstQuery* query) {
  GstCaps* caps = nullptr;
  gst_query_parse_allocation(query, &caps, nullptr);
  if (caps == nullptr) return;
  set_announced();
  knows_strides_ =
      gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
}

// Asked when the answer matters, not at each caps change: the query waits in a queue
// behind the frames there, and for ever behind min-threshold-buffers.
bool SrcStream::downstream_knows_strides() {
  if (!knows_strides_) {
    const Ref<GstCaps> current = caps();
    // Without need-pool: frames lie where they lie.
    const Ref<GstQuery> query{gst_query_new_allocation(current.get(), FALSE)};
    gst_pad_peer_query(GST_BASE_SRC_PAD(base_), query.get());
    allocation_answered(query.get());
    GST_DEBUG_OBJECT(base_, "downstream %s GstVideoMeta",
                     *knows_strides_ ? "knows" : "does not know");
  }
  return *knows_strides_;
}

// --- frames --------------------------------------------------------------------------

GstFlowReturn SrcStream::deliver(transport::Frame&& frame, GstBuffer** buffer) {
  FrameDescriptor descriptor = frame.descriptor();
  note_frame(frame);
  const std::int64_t now_ns = monotonic_ns();
  doubt_times(descriptor, frame.strange_clock(), now_ns);
  const GstFlowReturn flow = follow_caps(frame);
  if (flow != GST_FLOW_OK) return flow;
  measure(descriptor, frame.missed(), now_ns);
  const FrameFit fit = fit_frame(info_, descriptor);
  Ref<GstBuffer> made;
  if (fit != FrameFit::corrupt) made = make_buffer(std::move(frame), fit);
  if (!made) {
    return corrupt("carries a frame whose planes do not fit its caps",
                   "frame " + std::to_string(descriptor.seq) + " of " +
                       std::to_string(descriptor.data_bytes) + " bytes, caps " +
                       plain_text(*caps_text_));
  }
  apply_attributes(made.get(), descriptor);
  stamp(made.get(), descriptor);
  if (std::exchange(discont_, false)) {
    GST_BUFFER_FLAG_SET(made.get(), GST_BUFFER_FLAG_DISCONT);
  }
  GST_LOG_OBJECT(base_,
                 "frame %" G_GUINT64_FORMAT ", %" GST_TIME_FORMAT
                 " after its capture: %" GST_PTR_FORMAT,
                 static_cast<guint64>(descriptor.seq),
                 GST_TIME_ARGS(to_clock_time(counters_.age_ns)),
                 static_cast<void*>(made.get()));
  *buffer = made.release();
  return GST_FLOW_OK;
}

Ref<GstBuffer> SrcStream::make_buffer(transport::Frame&& frame, FrameFit fit) {
  const bool is_private = frame.is_copy();
  // Who does not look at the meta takes the buffer's size for the frame's.
  const gsize size = fit == FrameFit::standard ? info_.size : frame.size();
  Ref<GstBuffer> buffer{gst_buffer_new()};
  add_video_meta(buffer.get(), info_, frame.descriptor());
  gst_buffer_append_memory(buffer.get(), frame_memory(std::move(frame), size).release());
  if (is_private) log_copied("slots are short, and this reader holds many");
  if (fit == FrameFit::strided && !downstream_knows_strides()) {
    log_copied("downstream does not know GstVideoMeta");
    ++counters_.copied;
    return packed_copy(buffer.get(), info_);
  }
  if (!copy_frames_ || is_private) return buffer;
  log_copied("copy-frames");
  ++counters_.copied;
  return Ref<GstBuffer>{gst_buffer_copy_deep(buffer.get())};
}

void SrcStream::log_copied(const char* why) {
  if (said_.is_news(why)) {
    GST_INFO_OBJECT(base_, "a frame is copied, more may follow: %s", why);
  }
  GST_DEBUG_OBJECT(base_, "copied: %s", why);
}

void SrcStream::note_frame(const transport::Frame& frame) {
  const FrameDescriptor& descriptor = frame.descriptor();
  if (frame.missed() > 0) {
    GST_DEBUG_OBJECT(base_, "%" G_GUINT64_FORMAT " frames were missed",
                     static_cast<guint64>(frame.missed()));
    discont_ = true;
  }
  if (std::exchange(new_writer_, false)) {
    doubted_ = false;
    clocks_apart_ns_.reset();
    latency_.restart();
    timeline_.restart();
  } else if (descriptor.flush_id != flush_id_) {
    timeline_.restart();
  } else if (taken_ == 1 && (descriptor.buffer_flags & GST_BUFFER_FLAG_DISCONT) != 0) {
    // The writer has left frames out for want of readers since the one that we found.
    timeline_.restart();
  }
  ++taken_;
  flush_id_ = descriptor.flush_id;
}

// When a frame came that another clock says was published then: the least time on the
// way so far is how far the clocks are apart. So one that had to wait here is older than
// one that did not, and a sink that waits for the latency of each keeps up.
std::int64_t SrcStream::arrival_ns(std::int64_t published_ns, std::int64_t now_ns) {
  const std::int64_t apart_ns = since(published_ns, now_ns);
  if (apart_ns == kNoTime) return now_ns;
  clocks_apart_ns_ = std::min(clocks_apart_ns_.value_or(apart_ns), apart_ns);
  const std::int64_t waited_ns = elapsed_ns(*clocks_apart_ns_, apart_ns);
  return now_ns - std::min(waited_ns, kNanosecondsPerSecond);
}

// Another clock than ours, or nonsense: a sink that believes it waits for ever.
void SrcStream::doubt_times(FrameDescriptor& frame, bool strange_clock,
                            std::int64_t now_ns) {
  if (!strange_clock && transport::plausible_times(frame, now_ns)) return;
  if (!clocks_apart_ns_) latency_.restart();  // what was believed so far
  transport::stamp_arrival(frame, arrival_ns(frame.publish_ns, now_ns));
  frame.latency_ns = 0;  // of what came before
  const bool used = settings_.is_live && !gst_base_src_get_do_timestamp(base_) &&
                    settings_.timestamp_mode == TimestampMode::clock;
  if (!used || std::exchange(doubted_, true)) return;
  GST_ELEMENT_WARNING(base_, CORE, CLOCK,
                      ("The times on channel \"%s\" are of another clock: frames get the "
                       "time of their arrival; run writer and reader in one time "
                       "namespace",
                       settings_.channel.c_str()),
                      ("written by %s", name_of_writer(reader_->statistics()).c_str()));
}

void SrcStream::measure(const FrameDescriptor& frame, std::uint64_t missed,
                        std::int64_t now_ns) {
  counters_.age_ns = elapsed_ns(transport::capture_ns(frame), now_ns);
  // A frame that was there before we asked waited for us, that is for downstream: were
  // this counted, a sink that waits for the latency would make it grow.
  const std::int64_t until_ns = frame.publish_ns < asked_ns_ ? frame.publish_ns : now_ns;
  if (stamps_arrival()) {
    latency_.note(0, elapsed_ns(frame.publish_ns, until_ns));
  } else {
    latency_.note(frame.latency_ns, elapsed_ns(transport::capture_ns(frame), until_ns));
  }
  latency_.note_spacing(nominal_spacing_ns(info_), transport::capture_ns(frame), missed);
  if (!settings_.is_live) return;
  warn_of_small_buffer(missed);
  if (!latency_.take_announcement(now_ns)) return;
  const LatencyEstimate::Range range = latency_.range();
  GST_DEBUG_OBJECT(base_, "latency is now %" GST_TIME_FORMAT " to %" GST_TIME_FORMAT,
                   GST_TIME_ARGS(range.min), GST_TIME_ARGS(range.max));
  gst_element_post_message(element(), gst_message_new_latency(GST_OBJECT_CAST(base_)));
}

// GStreamer says this itself where the elements ask for more latency than fits here. Of a
// latency that the application has set not every version does, and none before the first
// frame has come.
void SrcStream::warn_of_small_buffer(std::uint64_t missed) {
  // After a pause frames are missed on purpose.
  if (std::exchange(caught_up_, false) || missed == 0) return;
  const GstClockTime configured = configured_.load();
  const GstClockTime max = latency_.range().max;
  if (configured <= max || std::exchange(warned_latency_, configured) == configured) {
    return;
  }
  GST_ELEMENT_WARNING(
      base_, CORE, CLOCK,
      ("Frames are missed: the latency of this pipeline is %" G_GUINT64_FORMAT
       " ms, and the frames that wait here (max-buffers=%u) last %" G_GUINT64_FORMAT
       " ms. Add a queue behind possumsrc, or raise max-buffers.",
       configured / GST_MSECOND, max_buffers_.load(), max / GST_MSECOND),
      (nullptr));
}

// By do-timestamp a frame stands for its arrival. That is its publication: GstBaseSrc
// would take the moment at which downstream has time for it, and a sink that waits for
// the latency anew from there falls behind.
bool SrcStream::stamps_arrival() const {
  return settings_.is_live && gst_base_src_get_do_timestamp(base_);
}

void SrcStream::stamp(GstBuffer* buffer, const FrameDescriptor& frame) {
  if (stamps_arrival()) {
    FrameDescriptor arrived = frame;
    transport::stamp_arrival(arrived, frame.publish_ns);
    stamp_clock_time(buffer, arrived);
    GST_BUFFER_DTS(buffer) = GST_BUFFER_PTS(buffer);  // else GstBaseSrc makes one up
  } else if (gst_base_src_get_do_timestamp(base_)) {
    // GstBaseSrc does.
  } else if (!settings_.is_live ||
             settings_.timestamp_mode == TimestampMode::running_time) {
    stamp_running_time(buffer, frame);
  } else {
    stamp_clock_time(buffer, frame);
  }
}

void SrcStream::stamp_clock_time(GstBuffer* buffer, const FrameDescriptor& frame) {
  // Without a clock there is nothing to relate an absolute time to.
  const std::optional<std::int64_t> origin_ns = running_time_origin(element());
  if (!origin_ns) return;
  const Stamps stamps = clock_stamps(frame, *origin_ns);
  GST_BUFFER_PTS(buffer) = stamps.pts;
  GST_BUFFER_DTS(buffer) = stamps.dts;
}

void SrcStream::stamp_running_time(GstBuffer* buffer, const FrameDescriptor& frame) {
  const Stamps stamps = writer_stamps(frame);
  GST_BUFFER_PTS(buffer) = stamps.pts;
  GST_BUFFER_DTS(buffer) = stamps.dts;
  const auto segment =
      timeline_.place(stamps.pts, GST_BUFFER_DURATION(buffer), own_running_time());
  if (!segment) return;
  GST_DEBUG_OBJECT(base_, "new segment %" GST_SEGMENT_FORMAT,
                   static_cast<const void*>(&*segment));
  gst_base_src_new_segment(base_, &*segment);
}

// While a source that is not live prerolls, its running time stands still at 0.
GstClockTime SrcStream::own_running_time() const {
  if (!settings_.is_live && GST_STATE(base_) != GST_STATE_PLAYING) return 0;
  const std::optional<std::int64_t> origin_ns = running_time_origin(element());
  if (!origin_ns) return 0;
  return static_cast<GstClockTime>(
      std::max<std::int64_t>(0, monotonic_ns() - *origin_ns));
}

}  // namespace possum
