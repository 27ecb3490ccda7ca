#include "runtime/formatted.hpp"

#include "kernels/check.hpp"

#include <cstdarg>
#include <cstdio>

namespace troupe {

std::string formatted(const char* pattern, ...) {
  va_list args, again;
  va_start(args, pattern);
  va_copy(again, args);
  auto size = std::vsnprintf(nullptr, 0, pattern, args);
  va_end(args);
  CHECK(size >= 0);
  std::string out(static_cast<size_t>(size), '\0');
  std::vsnprintf(out.data(), out.size() + 1, pattern, again);
  va_end(again);
  return out;
}

} // namespace troupe
