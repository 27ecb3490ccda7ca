#include "deploy/report.hpp"

#include <cstdio>

namespace troupe {

int report(const failure& why) {
  std::fprintf(stderr, "troupe: %s\n", why.message.c_str());
  return 1;
}

} // namespace troupe
