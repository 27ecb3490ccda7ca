#pragma once

/// By what the templates of each family are known, and all that they write.

#include "runtime/text/chat_atoms.hpp"

#include <span>

namespace troupe {

struct chat_family {
  std::string_view name;
  /// What only this family and those further down write; all of it is needed.
  std::vector<std::string_view> marks;
  bool cuts_thoughts = false; ///< Known by that, too.
  /// Each phrase of a template has to be a part of one of these.
  std::vector<std::string_view> phrases;
  bool looks_at_first = false; ///< Asks who wrote the first message.
};

/// All families; the first whose marks fit is meant.
std::span<const chat_family> families();

/// What any template may put into a variable.
bool may_be_assigned(const chat_atoms& atoms);

/// Whether `part` stands in `pattern`, from one atom to another.
bool is_part(const chat_atoms& part, const chat_atoms& pattern);

} // namespace troupe
