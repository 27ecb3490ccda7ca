#pragma once

/// What is said on the admin socket.

#include "runtime/cluster/drain_progress.hpp"
#include "runtime/http/openai_error.hpp"
#include "runtime/log.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::http {

/// A whole answer, of JSON.
reply with_body(std::string body);

/// What is broken on purpose.
std::string render_faults(const std::vector<std::string>& active);

/// {"level": "info"}
std::string render_log_level(log_level level);
parsed<log_level> parse_log_level_body(std::string_view body);

/// {"node": "b", "timeout_s": 60}
struct drain_wish {
  std::string node;
  std::chrono::seconds limit{60};
};

parsed<drain_wish> parse_drain_body(std::string_view body);

/// {"drain": null}, or how far that node is, and a sentence.
std::string render_drain(const std::optional<drain_progress>& x);

/// What whoever wants it to leave hears: whether that has begun.
reply drain_answer(const drain_wish& wish, const result<void>& begun);

/// Likewise who wants whoever is leaving to stay; `now`: what came of it.
reply undrain_answer(const result<void>& done,
                     const std::optional<drain_progress>& now);

} // namespace troupe::http
