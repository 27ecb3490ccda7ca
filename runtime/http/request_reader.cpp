#include "runtime/http/request_reader.hpp"

#include <algorithm>

namespace troupe::http {

namespace {

constexpr std::string_view end_of_head = "\r\n\r\n";

/// What is told to who sent a head that cannot be read.
unsigned status_of(errc why) {
  switch (why) {
    case errc::overloaded:
      return 431;
    case errc::refused:
      return 505;
    default:
      return 400;
  }
}

/// As `reserve`, which however at least doubles what there is.
void set_aside(std::string& text, size_t capacity) {
  std::string wider;
  wider.reserve(capacity);
  wider += text;
  text.swap(wider);
}

} // namespace

request_reader::request_reader(const reader_limits& limits) : limits_(limits) {
}

void request_reader::add(std::string_view bytes) {
  if (at_ == stage::refused)
    return;
  buffer_ += bytes;
  if (at_ == stage::head)
    find_head();
  else if (at_ == stage::body)
    head_.chunked ? read_chunks() : read_length();
}

const request_head& request_reader::head() const {
  CHECK(at_ != stage::head && at_ != stage::refused);
  return head_;
}

void request_reader::read_body() {
  CHECK(at_ == stage::head_read);
  at_ = stage::body;
  if (head_.chunked) {
    chunks_.emplace(limits_.body);
    return read_chunks();
  }
  if (head_.length > limits_.body.max_data)
    return refuse(413, "the body is larger than "
                         + std::to_string(limits_.body.max_data) + " bytes");
  read_length();
}

request request_reader::take() {
  CHECK(at_ == stage::complete);
  request out{std::move(head_), std::move(body_)};
  head_ = {};
  body_ = {};
  chunks_.reset();
  at_ = stage::head;
  searched_ = 0;
  skipped_ = false;
  find_head();
  return out;
}

const refusal& request_reader::why() const {
  CHECK(refusal_.has_value());
  return *refusal_;
}

bool request_reader::skip_empty_line() {
  if (skipped_ || !crlf.starts_with(buffer_.substr(0, 2)))
    return !buffer_.empty();
  if (buffer_.size() < crlf.size())
    return false; // nothing, or a CR that an LF may follow
  buffer_.erase(0, crlf.size());
  skipped_ = true;
  return !buffer_.empty();
}

void request_reader::find_head() {
  if (!skip_empty_line())
    return;
  if (!is_token_char(buffer_.front()))
    return refuse(400, "the request is not HTTP: it starts with no word");
  auto line = std::min(buffer_.find('\r'), buffer_.size());
  if (line > limits_.head.max_request_line)
    return refuse(414, "the request line is longer than "
                         + std::to_string(limits_.head.max_request_line)
                         + " bytes");
  auto end = buffer_.find(end_of_head, searched_);
  auto size = end == buffer_.npos ? 0 : end + end_of_head.size();
  if (size == 0 && buffer_.size() <= limits_.head.max_bytes) {
    // The end may have begun.
    searched_ = buffer_.size() - std::min<size_t>(buffer_.size(), 3);
    return;
  }
  if (size == 0)
    return refuse(431, "the request's head is larger than "
                         + std::to_string(limits_.head.max_bytes) + " bytes");
  auto head = parse_head(std::string_view{buffer_}.substr(0, size),
                         limits_.head);
  if (!head)
    return refuse(status_of(head.why().code), head.why().message);
  head_ = std::move(*head);
  buffer_.erase(0, size);
  at_ = stage::head_read;
}

void request_reader::read_length() {
  auto n = std::min<uint64_t>(head_.length - body_.size(), buffer_.size());
  if (auto needed = body_.size() + n; needed > body_.capacity())
    set_aside(body_, std::min<uint64_t>(
                       head_.length, std::max(2 * body_.capacity(), needed)));
  body_.append(buffer_, 0, n);
  buffer_.erase(0, n);
  if (body_.size() == head_.length)
    at_ = stage::complete;
}

void request_reader::read_chunks() {
  auto used = chunks_->read(buffer_, body_);
  if (!used)
    return refuse(used.why().code == errc::overloaded ? 413 : 400,
                  used.why().message);
  buffer_.erase(0, *used);
  if (chunks_->done())
    at_ = stage::complete;
}

void request_reader::refuse(unsigned status, std::string why) {
  at_ = stage::refused;
  refusal_ = {status, std::move(why)};
  buffer_ = {};
  body_ = {};
}

} // namespace troupe::http
