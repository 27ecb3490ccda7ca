#pragma once

/// Marks in text that comes in pieces: what may be the beginning of one is held
/// back until more is known.

#include <cstddef>
#include <string_view>

namespace troupe {

/// Length of the longest end of `text` that is a beginning of `mark`, but not
/// all of it. `mark` is not empty.
size_t beginning_at_end(std::string_view text, std::string_view mark);

} // namespace troupe
