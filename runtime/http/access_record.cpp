#include "runtime/http/access_record.hpp"

#include "runtime/http/request_head.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>

namespace troupe::http {

namespace {

constexpr size_t max_name = 128;
constexpr size_t max_path = 256; ///< Of it, in a line.

/// Whether `text` may be taken for a request's name: it can be told in a line
/// and in a header.
bool is_request_name(std::string_view text) {
  constexpr std::string_view signs = "-_.:/+=@";
  return !text.empty() && text.size() <= max_name
         && std::ranges::all_of(text, [&](char c) {
              return (is_token_char(c) && std::isalnum(c))
                     || signs.find(c) != signs.npos;
            });
}

} // namespace

access_record::access_record(std::string id, instant begin)
  : id_(std::move(id)), begin_(begin) {
}

void access_record::is(const request_head& head) {
  what_ = head.method.substr(0, max_path) + " " + head.path.substr(0, max_path);
  if (is_request_name(head.request_id))
    id_ = head.request_id;
}

std::string access_record::line(const std::string& from, instant end) const {
  char time[40];
  std::snprintf(time, sizeof time, "%.3f",
                std::chrono::duration<double>(end - begin_).count());
  return from + " \"" + what_ + "\" "
         + (status_ == 0 ? "no answer" : std::to_string(status_)) + ", "
         + std::to_string(bytes_) + " bytes in " + time + " s, request " + id_;
}

} // namespace troupe::http
