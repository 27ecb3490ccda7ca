#pragma once

/// How a subcommand says that it failed.

#include "runtime/error.hpp"

namespace troupe {

/// Prints the sentence on standard error and returns the exit status 1.
int report(const failure& why);

} // namespace troupe
