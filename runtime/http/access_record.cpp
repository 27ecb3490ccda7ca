#include "runtime/http/access_record.hpp"

#include "runtime/http/request_head.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
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

const std::string& access_record::is(const request_head& head) {
  method_ = head.method.substr(0, max_path);
  path_ = head.path.substr(0, max_path);
  if (is_request_name(head.request_id))
    id_ = head.request_id;
  return id_;
}

std::string access_record::line(const std::string& from, instant end) const {
  char time[40];
  std::snprintf(time, sizeof time, "%.3f",
                std::chrono::duration<double>(end - begin_).count());
  auto what = method_.empty() ? "" : method_ + " " + path_;
  auto tokens = tokens_ ? ", " + std::to_string(tokens_->prompt) + " and "
                            + std::to_string(tokens_->answer) + " tokens"
                        : "";
  return from + " \"" + what + "\" "
         + (status_ == 0 ? "no answer" : std::to_string(status_))
         + (is_cut_ && status_ != 0 ? " cut short, " : ", ")
         + std::to_string(bytes_) + " bytes in " + time + " s" + tokens
         + ", request " + id_;
}

std::vector<log_field> access_record::fields(const std::string& from,
                                             instant end) const {
  using milliseconds = std::chrono::duration<double, std::milli>;
  std::vector<log_field> out
    = {{"request_id", id_},
       {"client", from},
       {"method", method_},
       {"path", path_},
       {"status", uint64_t{status_}},
       {"bytes", uint64_t{bytes_}},
       {"ms", std::round(milliseconds(end - begin_).count() * 1000) / 1000}};
  if (is_cut_)
    out.push_back({"cut", uint64_t{1}});
  if (tokens_) {
    out.push_back({"prompt_tokens", tokens_->prompt});
    out.push_back({"completion_tokens", tokens_->answer});
  }
  return out;
}

} // namespace troupe::http
