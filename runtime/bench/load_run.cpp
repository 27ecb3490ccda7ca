#include "runtime/bench/load_run.hpp"

#include "runtime/as_seconds.hpp"
#include "runtime/http/event_reader.hpp"

#include <utility>

namespace troupe::bench {

namespace {

constexpr std::chrono::milliseconds tick_time{10};
constexpr uint64_t ticks_of_look = 10;
constexpr size_t max_error_body = 64 << 10; ///< Bytes that are kept.

const char* kind_of(http::call_end end) {
  switch (end) {
    case http::call_end::unreachable:
      return "unreachable";
    case http::call_end::cut:
      return "cut";
    case http::call_end::timeout:
      return "timeout";
    case http::call_end::whole:
    case http::call_end::malformed:
    case http::call_end::dropped:
      break;
  }
  return "malformed";
}

} // namespace

/// Writes down what is heard of one request.
class load_run::watch : public http::call_listener {
public:
  watch(load_run& in, size_t number) : in_(in), number_(number) {
  }

  bool on_body(unsigned status, std::string_view bytes) override {
    if (in_.is_over_)
      return false;
    if (status != 200) {
      text_ += bytes.substr(0, max_error_body - text_.size());
      return true;
    }
    events_.clear();
    if (!reader_.read(bytes, events_))
      return fail("malformed", "an event without an end");
    for (auto& data : events_)
      if (!take(read_event(data), data))
        return false;
    return true;
  }

  void on_end(http::call_end end, unsigned status, std::string why) override {
    if (in_.is_over_)
      return;
    auto& x = in_.records_[number_];
    x.end = in_.now();
    if (!x.is_counted)
      x.output_tokens = uint32_t(x.num_pieces());
    if (x.error.empty()) {
      if (end != http::call_end::whole)
        fail(kind_of(end), std::move(why));
      else if (status != 200)
        fail("status " + std::to_string(status), error_sentence(text_));
      else if (!has_ended_)
        fail("cut", "the stream ended without [DONE]");
    }
    in_.end(number_);
  }

private:
  bool take(const stream_event& event, const std::string& data) {
    auto& x = in_.records_[number_];
    has_ended_ = has_ended_ || event.is_end;
    if (event.is_malformed)
      return fail("malformed", "an event that is none: " + data.substr(0, 80));
    if (!event.error.empty())
      fail("error event", event.error); // how it goes on is of no account
    if (event.prompt_tokens && event.output_tokens) {
      x.prompt_tokens = *event.prompt_tokens;
      x.output_tokens = *event.output_tokens;
      x.is_counted = true;
    }
    if (event.has_tokens)
      note_piece(x);
    return true;
  }

  void note_piece(call_record& x) {
    auto now = in_.now();
    if (x.first)
      x.gaps.push_back(float(as_seconds(now - last_)));
    else
      x.first = now;
    last_ = now;
    ++in_.progress_.pieces;
  }

  /// Returns false.
  bool fail(std::string kind, std::string why) {
    auto& x = in_.records_[number_];
    x.error = std::move(kind);
    x.why = std::move(why);
    return false;
  }

  load_run& in_;
  const size_t number_;
  http::event_reader reader_;
  std::vector<std::string> events_;
  std::string text_; ///< Of an error.
  nanoseconds last_{0};
  bool has_ended_ = false;
};

load_run::load_run(http::client& client, const clock& time,
                   load_run_options options, std::vector<planned_request> plan,
                   prompt_writer words)
  : client_(client), time_(time), options_(std::move(options)),
    plan_(std::move(plan)), words_(words) {
  records_.reserve(plan_.size());
}

load_run::~load_run() = default;

nanoseconds load_run::now() const {
  return time_.now() - begin_;
}

void load_run::run(std::function<bool(const load_progress&)> look) {
  look_ = std::move(look);
  begin_ = time_.now();
  begin_due(nanoseconds{0});
  tick(begin_);
  if (!is_over_)
    client_.run();
}

/// Begins all whose time has come, and has itself called when it is that of
/// the next one. There has been room for one more since `room`.
void load_run::begin_due(nanoseconds room) {
  auto time = now();
  if (time > options_.no_more_after)
    plan_.resize(records_.size());
  while (may_begin(time))
    begin(room);
  if (records_.size() == plan_.size() || options_.is_closed || is_waiting_)
    return;
  auto next = plan_[records_.size()].arrival;
  if (next <= time)
    return; // there is no room for it: the next end will look
  is_waiting_ = true;
  client_.at(begin_ + next, [this] {
    is_waiting_ = false;
    begin_due(nanoseconds{0});
    stop_if_over();
  });
}

bool load_run::may_begin(nanoseconds now) const {
  if (records_.size() == plan_.size())
    return false;
  if (options_.max_running > 0 && progress_.running >= options_.max_running)
    return false;
  return options_.is_closed || plan_[records_.size()].arrival <= now;
}

void load_run::begin(nanoseconds room) {
  auto number = records_.size();
  const auto& wanted = plan_[number];
  auto& x = records_.emplace_back();
  x.intended = options_.is_closed ? room : wanted.arrival;
  x.due = std::max(x.intended, room);
  x.prompt_tokens = wanted.prompt_tokens;
  ++progress_.running;
  auto call = make_call(options_.form, words_, uint32_t(number), wanted);
  x.sent = now(); // what making it has taken is our delay
  client_.call(std::move(call), std::make_shared<watch>(*this, number));
}

void load_run::end(size_t number) {
  --progress_.running;
  ++progress_.ended;
  progress_.failed += !records_[number].ok();
  begin_due(records_[number].end);
  stop_if_over();
}

void load_run::tick(clock::instant due) {
  if (is_over_)
    return;
  late_loop_.push_back(float(as_seconds(time_.now() - due)));
  if (num_ticks_++ % ticks_of_look == 0)
    look();
  auto next = due + tick_time; // those that are too late count, each of them
  client_.at(next, [this, next] { tick(next); });
}

void load_run::look() {
  begin_due(nanoseconds{0}); // or find that it is too late to
  progress_.time = now();
  progress_.total = plan_.size();
  if (look_(progress_))
    return stop_if_over();
  is_over_ = true;
  for (auto& x : records_)
    if (x.end == nanoseconds{0}) {
      x.end = now();
      x.error = "interrupted";
      x.why = "the measurement ended before it";
    }
  client_.stop();
}

void load_run::stop_if_over() {
  is_over_ = is_over_
             || (progress_.running == 0 && records_.size() == plan_.size());
  if (is_over_)
    client_.stop();
}

} // namespace troupe::bench
