#pragma once

/// The tokenizer of the bundled nano model.

#include "runtime/text/tokenizer.hpp"
#include "tests/places.hpp"

namespace troupe::fuzz {

inline const tokenizer& bundled() {
  static const auto x = [] {
    auto path = source_dir() / "examples/nano/model/tokenizer.json";
    auto read = tokenizer::load(path);
    CHECK(read);
    return std::move(*read);
  }();
  return x;
}

} // namespace troupe::fuzz
