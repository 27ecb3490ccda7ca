#include "runtime/http/chunk_reader.hpp"

#include "runtime/http/request_head.hpp"

#include <algorithm>

namespace troupe::http {

namespace {

constexpr size_t max_digits = 16; ///< Of a size: 64 bits, no overflow.

failure bad(std::string why) {
  return {errc::invalid_input,
          "the body's chunks make no sense: " + std::move(why)};
}

/// The value of a hexadecimal digit, or -1.
int digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

} // namespace

chunk_reader::chunk_reader(const chunk_limits& limits) : limits_(limits) {
}

result<size_t> chunk_reader::read(std::string_view bytes, std::string& to) {
  size_t used = 0;
  while (used < bytes.size() && at_ != place::end) {
    if (at_ == place::data) {
      auto n = std::min<uint64_t>(left_, bytes.size() - used);
      to.append(bytes.substr(used, n));
      used += n;
      left_ -= n;
      if (left_ == 0)
        at_ = place::data_cr;
    } else if (auto ok = step(bytes[used++]); !ok) {
      return ok.why();
    }
  }
  return used;
}

result<void> chunk_reader::step(char c) {
  switch (at_) {
    case place::size:
      return read_size(c);
    case place::extension:
      return read_extension(c);
    case place::size_end:
      return end_size_line(c);
    case place::data_cr:
      return expect(c, '\r', place::data_lf);
    case place::data_lf:
      return expect(c, '\n', place::size);
    case place::trailer_end:
      return expect(c, '\n', place::trailer_start);
    case place::last_lf:
      return expect(c, '\n', place::end);
    case place::trailer_start:
    case place::trailer_name:
    case place::trailer_value:
      return read_trailer(c);
    case place::data:
    case place::end:
      break;
  }
  CHECK(false); // `read` has dealt with them
}

result<void> chunk_reader::read_size(char c) {
  if (auto value = digit(c); value >= 0) {
    left_ = left_ * 16 + static_cast<uint64_t>(value);
    if (++num_digits_ > max_digits)
      return bad("a size has more than 16 digits");
    return {};
  }
  if (num_digits_ == 0)
    return bad("a size has no digits");
  if (c == ';')
    at_ = place::extension;
  else if (c == '\r')
    at_ = place::size_end;
  else
    return bad("a size is no hexadecimal number");
  return {};
}

result<void> chunk_reader::read_extension(char c) {
  if (c == '\r') {
    at_ = place::size_end;
    return {};
  }
  if (!is_value_char(c))
    return bad("an extension holds a control");
  if (++num_extension_bytes_ > limits_.max_extensions)
    return bad("their extensions are longer than "
               + std::to_string(limits_.max_extensions) + " bytes");
  return {};
}

result<void> chunk_reader::end_size_line(char c) {
  num_digits_ = 0;
  if (left_ > limits_.max_data - num_data_)
    return failure{errc::overloaded, "the body is larger than "
                                       + std::to_string(limits_.max_data)
                                       + " bytes"};
  num_data_ += left_;
  return expect(c, '\n', left_ == 0 ? place::trailer_start : place::data);
}

result<void> chunk_reader::read_trailer(char c) {
  if (++num_trailer_bytes_ > limits_.max_trailers)
    return bad("their trailers are longer than "
               + std::to_string(limits_.max_trailers) + " bytes");
  if (at_ == place::trailer_start && c == '\r')
    at_ = place::last_lf;
  else if (at_ == place::trailer_value && c == '\r')
    at_ = place::trailer_end;
  else if (at_ == place::trailer_name && c == ':')
    at_ = place::trailer_value;
  else if (at_ == place::trailer_value && is_value_char(c))
    return {};
  else if (at_ != place::trailer_value && is_token_char(c))
    at_ = place::trailer_name;
  else
    return bad("a trailer is no header line");
  return {};
}

result<void> chunk_reader::expect(char c, char wanted, place next) {
  if (c != wanted)
    return bad("a line break is missing");
  at_ = next;
  return {};
}

} // namespace troupe::http
