#include "tests/fuzz/target.hpp"

#include "tests/fuzz/grammar_walk.hpp"

namespace troupe::fuzz {

void regex(input x) {
  walk_grammar({grammar_kind::regex, std::string{x}});
}

} // namespace troupe::fuzz
