#include "runtime/http/reply_text.hpp"

#include <cstdio>
#include <ctime>

namespace troupe::http {

namespace {

constexpr unsigned no_content = 204;

/// RFC 9110; clients go by the number.
const char* reason(unsigned status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";
  }
}

} // namespace

std::string render_head(const reply& what, std::string_view framing,
                        bool keep_alive) {
  auto text = "HTTP/1.1 " + std::to_string(what.status) + " "
              + reason(what.status) + "\r\n";
  text += "Server: troupe\r\n";
  if (what.status != no_content)
    text += "Content-Type: " + what.content_type + "\r\n";
  for (const auto& [name, value] : what.headers)
    text += name + ": " + value + "\r\n";
  text += framing;
  text += keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
  return text;
}

std::string http_date(int64_t unix_time) {
  constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed",
                                  "Thu", "Fri", "Sat"};
  constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  auto seconds = static_cast<time_t>(unix_time);
  tm x{};
  gmtime_r(&seconds, &x);
  char text[64];
  std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                days[x.tm_wday], x.tm_mday, months[x.tm_mon], x.tm_year + 1900,
                x.tm_hour, x.tm_min, x.tm_sec);
  return text;
}

std::string content_length(const reply& what) {
  if (what.status == no_content) // has no body, and may not say so
    return "";
  return "Content-Length: " + std::to_string(what.body.size()) + "\r\n";
}

std::string chunk(std::string_view bytes) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + std::string{bytes} + "\r\n";
}

} // namespace troupe::http
