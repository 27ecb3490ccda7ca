#include "runtime/transport/ucx_session.hpp"

#include <algorithm>

namespace troupe {

namespace {

using std::chrono::milliseconds;

/// After the end of a line, how long frames that came before it are read. On
/// another connection they may be a little behind.
constexpr milliseconds last_words{1};

/// Whom we give up has so long to hear why.
constexpr milliseconds farewell_time{200};

} // namespace

ucx_session::ucx_session(acquaintance other, node_id id, bool is_ours,
                         size_t window, frame_gate& gate,
                         const std::shared_ptr<block_pool>& pool)
  : other_(std::move(other)), is_ours_(is_ours), window_(window), gate_(gate),
    peer_(std::make_shared<ucx_peer>(
      id, other_.who, frame_seal{other_.frame_tag, other_.checksum_bodies})),
    waiting_(per_lane<queue>(pooled_allocator<parcel>{pool})) {
}

void ucx_session::offer(parcel x) {
  auto which = lane_of(x.header.kind);
  auto& waiting = waiting_[size_t(which)];
  if (which != lane::bulk && waiting.empty() && has_room(x))
    return transmit(std::move(x));
  waiting.push_back(std::move(x));
}

bool ucx_session::pump() {
  auto has_sent = false;
  for (auto& waiting : waiting_) { // control first
    // The network may take a chunk at once; then others get a turn.
    auto is_bulk = &waiting == &waiting_[size_t(lane::bulk)];
    auto most = is_bulk ? 1 : waiting.size();
    for (;
         most > 0 && !waiting.empty() && !is_over && has_room(waiting.front());
         --most) {
      auto next = std::move(waiting.front());
      waiting.pop_front();
      transmit(std::move(next));
      has_sent = true;
    }
  }
  return has_sent;
}

bool ucx_session::has_room(const parcel& x) const {
  auto which = lane_of(x.header.kind);
  if (which == lane::bulk && !may_send_bulk())
    return false;
  auto under_way = link_->bytes_sending(which);
  return under_way == 0 || under_way + x.size() <= window_;
}

/// One chunk at a time, and only if nothing else waits for the network.
bool ucx_session::may_send_bulk() const {
  return waiting_[size_t(lane::control)].empty()
         && waiting_[size_t(lane::rows)].empty()
         && link_->bytes_sending(lane::bulk) == 0;
}

void ucx_session::transmit(parcel x) {
  if (gate_.number(x.header))
    link_->send(encode_header(x.header, x.checksum), std::move(x.payload),
                std::move(x.charge));
}

size_t ucx_session::bytes_under_way() const {
  auto out = link_->num_expected();
  for (size_t i = 0; i < num_lanes; ++i)
    out += link_->bytes_sending(lane(i));
  return out;
}

void ucx_session::end_line(clock::instant now, const std::string& why) {
  line_ended_ = now;
  why_line_ended_ = why;
}

void ucx_session::leave(clock::instant now) {
  left_ = now;
}

std::optional<failure> ucx_session::end_at(clock::instant now) const {
  if (now >= deadline() && line_ended_)
    return failure{errc::peer_lost, why_line_ended_};
  if (now >= deadline())
    return failure{errc::deadline_passed, "did not answer in time"};
  return std::nullopt;
}

clock::instant ucx_session::deadline() const {
  auto out = clock::instant::max();
  if (!is_joined)
    out = join_deadline;
  if (left_)
    out = *left_ + farewell_time;
  if (line_ended_)
    out = std::min(out, *line_ended_ + last_words);
  return out;
}

std::string ucx_session::why_broken(const char* reason) const {
  return line_ended_ ? why_line_ended_
                     : std::string{"lost its connection: "} + reason;
}

clock::instant::duration ucx_session::stall(clock::instant now) {
  auto has_moved = std::exchange(num_sent_, link_->num_sent())
                   != link_->num_sent();
  if (!is_sending() || has_moved || !stalled_since_)
    stalled_since_ = now;
  return now - *stalled_since_;
}

void ucx_session::close() {
  for (auto& waiting : waiting_)
    waiting.clear();
  if (link_)
    link_->close();
}

} // namespace troupe
