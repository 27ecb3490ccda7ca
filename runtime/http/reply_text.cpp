#include "runtime/http/reply_text.hpp"

#include <cstdio>

namespace troupe::http {

namespace {

/// RFC 9110; clients go by the number.
const char* reason(unsigned status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "";
  }
}

} // namespace

std::string render_head(const reply& what, std::string_view framing,
                        bool keep_alive) {
  auto text = "HTTP/1.1 " + std::to_string(what.status) + " "
              + reason(what.status) + "\r\n";
  text += "Server: troupe\r\nContent-Type: " + what.content_type + "\r\n";
  for (const auto& [name, value] : what.headers)
    text += name + ": " + value + "\r\n";
  text += framing;
  text += keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
  return text;
}

std::string content_length(const reply& what) {
  return "Content-Length: " + std::to_string(what.body.size()) + "\r\n";
}

std::string chunk(std::string_view bytes) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + std::string{bytes} + "\r\n";
}

} // namespace troupe::http
