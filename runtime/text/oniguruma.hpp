#pragma once

/// Tokenizer files hold expressions in Oniguruma's (Ruby's) syntax; PCRE2
/// reads a slightly different one. What both read the same way passes, what
/// differs is rewritten, and what we cannot promise is refused, because an
/// expression that splits a little differently gives tokens that are a little
/// wrong, and nobody would notice.

#include "runtime/error.hpp"

#include <string>
#include <string_view>

namespace troupe {

/// Returns `expression` in the syntax of PCRE2 with UTF and UCP. Rewritten are
/// \s and \S (U+180E is no white space, as PCRE2 thinks), \d, \w, \u1234,
/// \p{Script}. Refused are anchors, back references, POSIX classes, nested and
/// intersected classes, options other than (?i:...), and \p of anything but
/// general categories and scripts.
result<std::string> pcre2_from_oniguruma(std::string_view expression);

} // namespace troupe
