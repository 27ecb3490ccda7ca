#pragma once

/// Lines for the operator, on standard error. Handed in by constructors; there
/// is no global logger. A failure is logged once, where it is first seen, with
/// the ids that name it. Lower case, no prompts, no secrets.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

enum class log_level : uint8_t { error, warning, info, debug };

std::optional<log_level> parse_log_level(std::string_view text);

/// Where lines go instead of standard error.
using log_sink = std::function<void(log_level, const std::string& who,
                                    std::string_view line)>;

class logger {
public:
  /// `who` stands in every line: the node's name.
  logger(std::string who, log_level level)
    : who_(std::move(who)), level_(level) {
  }

  logger(std::string who, log_level level, log_sink sink)
    : who_(std::move(who)), level_(level), sink_(std::move(sink)) {
  }

  void error(std::string_view line) const {
    write(log_level::error, line);
  }

  void warning(std::string_view line) const {
    write(log_level::warning, line);
  }

  void info(std::string_view line) const {
    write(log_level::info, line);
  }

  void debug(std::string_view line) const {
    write(log_level::debug, line);
  }

  bool enabled(log_level level) const {
    return level <= level_;
  }

private:
  /// Writes one line of at most 4 KiB with control characters escaped.
  void write(log_level level, std::string_view line) const;

  std::string who_;
  log_level level_;
  log_sink sink_ = {};
};

} // namespace troupe
