#include "deploy/log_flags.hpp"

namespace troupe {

void add_log_flags(CLI::App& command, std::string& level, std::string& format) {
  command
    .add_option("--log-level", level,
                "error, warning, info or debug; from info on each request has "
                "a line")
    ->capture_default_str()
    ->check(CLI::IsMember({"error", "warning", "info", "debug"}));
  command
    .add_option("--log-format", format,
                "text, or json: an object in each line of the log")
    ->capture_default_str()
    ->check(CLI::IsMember({"text", "json"}));
}

std::shared_ptr<log_book> make_log(const std::string& level,
                                   const std::string& format) {
  return std::make_shared<log_book>(
    parse_log_level(level).value_or(log_level::warning),
    format == "json" ? log_format::json : log_format::text);
}

} // namespace troupe
