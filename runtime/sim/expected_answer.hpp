#pragma once

/// What a request has to be answered with, whatever befalls the company.

#include "runtime/service.hpp"

#include <vector>

namespace troupe {

struct expected_answer {
  std::vector<int32_t> tokens;
  finish_reason finish = finish_reason::length;
  bool is_refusal = false; ///< Nobody may take it.
};

} // namespace troupe
