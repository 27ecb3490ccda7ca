#include "tests/fuzz/target.hpp"

#include "tests/fuzz/grammar_walk.hpp"

namespace troupe::fuzz {

void gbnf(input x) {
  walk_grammar({grammar_kind::gbnf, std::string{x}});
}

} // namespace troupe::fuzz
