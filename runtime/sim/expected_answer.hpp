#pragma once

/// What a request has to be answered with, whatever befalls the company.

#include "runtime/service.hpp"

#include <span>
#include <string_view>
#include <vector>

namespace troupe {

/// Tells logits apart by their bits. Means nothing outside of the process.
inline uint64_t logits_hash(std::span<const float> logits) {
  auto bytes = std::as_bytes(logits);
  return std::hash<std::string_view>{}(
    {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

struct expected_answer {
  std::vector<int32_t> tokens;
  finish_reason finish = finish_reason::length;
  /// Of each token, where the request wants them; or empty: not judged.
  std::vector<uint64_t> logits = {};
  bool is_refusal = false; ///< Nobody may take it.
};

} // namespace troupe
