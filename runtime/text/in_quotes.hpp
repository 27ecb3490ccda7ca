#pragma once

#include <string>
#include <string_view>

namespace troupe {

/// For a sentence: `text`, or the beginning of one that is long, in quotes.
inline std::string in_quotes(std::string_view text) {
  return '"' + std::string{text.substr(0, 200)} + '"';
}

} // namespace troupe
