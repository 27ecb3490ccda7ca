#pragma once

/// What a chat template does with thoughts: which part of an answer stays, and
/// whether it thinks when nobody says.

#include "runtime/text/template_reading.hpp"

#include <span>

namespace troupe {

/// Adds what the tokens of one tag say. Error: invalid_input, where they say
/// what is not known or at odds with another tag.
result<void> read_switches(std::span<const template_token> tag,
                           template_reading& to);

} // namespace troupe
