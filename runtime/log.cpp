#include "runtime/log.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>

#include <unistd.h>

namespace troupe {

namespace {

constexpr size_t max_line = 4096;
constexpr std::array<std::string_view, 4> names = {"error", "warning", "info",
                                                   "debug"};

std::string timestamp() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  char text[40];
  auto n = std::strftime(text, sizeof text, "%FT%T", &parts);
  std::snprintf(text + n, sizeof text - n, ".%03ldZ", now.tv_nsec / 1000000);
  return text;
}

} // namespace

std::optional<log_level> parse_log_level(std::string_view text) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == text)
      return static_cast<log_level>(i);
  return std::nullopt;
}

void logger::write(log_level level, std::string_view line) const {
  if (!enabled(level))
    return;
  if (sink_)
    return sink_(level, who_, line);
  auto text = timestamp() + " " + std::string{names[size_t(level)]} + " " + who_
              + ": ";
  for (unsigned char c : line.substr(0, max_line)) {
    if (c >= 0x20 && c != 0x7f) {
      text += static_cast<char>(c);
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", c);
      text += escaped;
    }
  }
  text += '\n';
  // One write, so that lines of several processes do not mix.
  [[maybe_unused]] auto n = ::write(STDERR_FILENO, text.data(), text.size());
}

} // namespace troupe
