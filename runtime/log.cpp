#include "runtime/log.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <cstdio>
#include <ctime>

#include <unistd.h>

namespace troupe {

namespace {

using json = nlohmann::ordered_json;

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

std::string render_text(std::string_view time, log_level level,
                        std::string_view who, std::string_view line) {
  auto text = std::string{time} + " " + std::string{to_string(level)} + " "
              + std::string{who} + ": ";
  for (unsigned char c : line) {
    char escaped[8] = {static_cast<char>(c)};
    if (c < 0x20 || c == 0x7f)
      std::snprintf(escaped, sizeof escaped, "\\x%02x", c);
    if (text.size() + std::string_view{escaped}.size() >= max_line)
      break;
    text += escaped;
  }
  return text + "\n";
}

std::string render_json(std::string_view time, log_level level,
                        std::string_view who, std::string_view line,
                        std::span<const log_field> fields) {
  json x = {{"time", time},
            {"level", to_string(level)},
            {"who", who},
            {"message", line.substr(0, max_line)}};
  for (const auto& field : fields)
    std::visit([&](auto& value) { x[std::string{field.name}] = value; },
               field.value);
  // What is too long loses the end of its message, then all fields.
  for (;;) {
    auto text = x.dump(-1, ' ', true, json::error_handler_t::replace) + "\n";
    if (text.size() <= max_line)
      return text;
    auto& message = x["message"].get_ref<std::string&>();
    auto excess = (text.size() - max_line + 5) / 6; // "\u0000" is the longest
    if (message.empty())
      x.erase(std::prev(x.end()));
    else
      message.resize(message.size() - std::min(message.size(), excess));
  }
}

} // namespace

std::optional<log_level> parse_log_level(std::string_view text) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == text)
      return static_cast<log_level>(i);
  return std::nullopt;
}

std::string_view to_string(log_level level) {
  return names[static_cast<size_t>(level)];
}

std::string render_log_line(log_format format, std::string_view time,
                            log_level level, std::string_view who,
                            std::string_view line,
                            std::span<const log_field> fields) {
  return format == log_format::text
           ? render_text(time, level, who, line)
           : render_json(time, level, who, line, fields);
}

void log_book::write(log_level level, const std::string& who,
                     std::string_view line,
                     std::span<const log_field> fields) const {
  if (level > level_)
    return;
  if (sink_)
    return sink_(level, who, line);
  auto text = render_log_line(format_, timestamp(), level, who, line, fields);
  // One write, so that lines of several processes do not mix.
  [[maybe_unused]] auto n = ::write(STDERR_FILENO, text.data(), text.size());
}

} // namespace troupe
