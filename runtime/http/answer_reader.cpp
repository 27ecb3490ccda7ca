#include "runtime/http/answer_reader.hpp"

#include "runtime/http/request_head.hpp"

#include <charconv>

namespace troupe::http {

namespace {

constexpr size_t max_head = 64 << 10; ///< Bytes.

constexpr chunk_limits no_limits{SIZE_MAX / 2, SIZE_MAX / 2, SIZE_MAX / 2};

failure bad(const char* why) {
  return {errc::invalid_input, std::string{"the answer "} + why};
}

template <class T>
bool parse_whole(std::string_view text, T& to) {
  auto end = text.data() + text.size();
  auto [stop, ec] = std::from_chars(text.data(), end, to);
  return ec == std::errc{} && stop == end;
}

} // namespace

answer_reader::answer_reader() = default;

result<void> answer_reader::read(std::string_view bytes, std::string& to) {
  begun_ = begun_ || !bytes.empty();
  while (status_ == 0) {
    auto before = head_.size();
    head_ += bytes;
    auto end = head_.find("\r\n\r\n");
    if (end == head_.npos)
      return head_.size() > max_head ? result<void>{bad("has an endless head")}
                                     : result<void>{};
    bytes.remove_prefix(end + 4 - before);
    head_.resize(end + 2);
    if (auto ok = read_head(); !ok)
      return ok;
    head_.clear();
  }
  return read_body(bytes, to);
}

result<void> answer_reader::read_head() {
  std::string_view rest = head_;
  auto next = [&rest] {
    auto end = rest.find("\r\n");
    auto line = rest.substr(0, end);
    rest.remove_prefix(end + 2);
    return line;
  };
  if (auto ok = read_status(next()); !ok)
    return ok;
  while (!rest.empty())
    if (auto ok = read_header(next()); !ok)
      return ok;
  if (status_ < 200) { // another one follows
    status_ = 0;
    return {};
  }
  if (chunks_)
    length_.reset();
  if (status_ == 204 || status_ == 304 || length_ == uint64_t{0})
    done_ = true;
  return {};
}

result<void> answer_reader::read_status(std::string_view line) {
  if (!line.starts_with("HTTP/1.") || line.size() < 12)
    return bad("is no HTTP/1.1");
  keep_alive_ = line[7] != '0';
  if (!parse_whole(line.substr(9, 3), status_) || status_ < 100)
    return bad("has a status that is none");
  return {};
}

result<void> answer_reader::read_header(std::string_view line) {
  auto colon = line.find(':');
  if (colon == line.npos)
    return bad("has a header without a colon");
  auto name = line.substr(0, colon);
  auto value = trim(line.substr(colon + 1));
  if (same_word(name, "content-length")) {
    uint64_t length = 0;
    if (!parse_whole(value, length))
      return bad("has a length that is none");
    length_ = length;
  } else if (same_word(name, "transfer-encoding")) {
    if (!same_word(value, "chunked"))
      return bad("has an encoding other than chunks");
    chunks_.emplace(no_limits);
  } else if (same_word(name, "connection")) {
    keep_alive_ = keep_alive_ && !same_word(value, "close");
  }
  return {};
}

result<void> answer_reader::read_body(std::string_view bytes, std::string& to) {
  if (done_ || bytes.empty())
    return {};
  if (chunks_) {
    auto used = chunks_->read(bytes, to);
    if (!used)
      return used.why();
    done_ = chunks_->done();
    return {};
  }
  if (!length_) {
    to += bytes;
    return {};
  }
  to += bytes.substr(0, *length_);
  *length_ -= std::min<uint64_t>(*length_, bytes.size());
  done_ = *length_ == 0;
  return {};
}

} // namespace troupe::http
