#pragma once

/// Lines for the operator, on standard error. Handed in by constructors; there
/// is no global logger. A failure is logged once, where it is first seen, with
/// the ids that name it. Lower case, no prompts, no secrets.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace troupe {

enum class log_level : uint8_t { error, warning, info, debug };

std::optional<log_level> parse_log_level(std::string_view text);

std::string_view to_string(log_level level);

enum class log_format : uint8_t {
  text,
  json, ///< An object in each line.
};

/// What a line is about, for those who do not read but search.
struct log_field {
  std::string_view name;
  std::variant<std::string, uint64_t, double> value;
};

/// One line with its end, of at most 4 KiB, in which control characters are
/// escaped. As text the fields are not told: the line says it all.
std::string render_log_line(log_format format, std::string_view time,
                            log_level level, std::string_view who,
                            std::string_view line,
                            std::span<const log_field> fields = {});

/// Where lines go instead of standard error.
using log_sink = std::function<void(log_level, const std::string& who,
                                    std::string_view line)>;

/// What all loggers of a process have in common. Any thread.
class log_book {
public:
  explicit log_book(log_level level, log_format format = log_format::text,
                    log_sink sink = {})
    : level_(level), format_(format), sink_(std::move(sink)) {
  }

  log_level level() const {
    return level_;
  }

  void set_level(log_level level) {
    level_ = level;
  }

  /// Writes one line, if its level is wanted.
  void write(log_level level, const std::string& who, std::string_view line,
             std::span<const log_field> fields) const;

private:
  std::atomic<log_level> level_;
  const log_format format_;
  const log_sink sink_;
};

class logger {
public:
  /// `who` stands in every line: the node's name.
  logger(std::string who, std::shared_ptr<const log_book> book)
    : who_(std::move(who)), book_(std::move(book)) {
  }

  /// With a book of its own.
  logger(std::string who, log_level level, log_sink sink = {})
    : logger(std::move(who), std::make_shared<log_book>(level, log_format::text,
                                                        std::move(sink))) {
  }

  void error(std::string_view line) const {
    book_->write(log_level::error, who_, line, {});
  }

  void warning(std::string_view line) const {
    book_->write(log_level::warning, who_, line, {});
  }

  void info(std::string_view line,
            std::span<const log_field> fields = {}) const {
    book_->write(log_level::info, who_, line, fields);
  }

  void debug(std::string_view line) const {
    book_->write(log_level::debug, who_, line, {});
  }

  bool enabled(log_level level) const {
    return level <= book_->level();
  }

private:
  std::string who_;
  std::shared_ptr<const log_book> book_;
};

} // namespace troupe
