#include "tests/fuzz/target.hpp"

#include "tests/fuzz/grammar_walk.hpp"

namespace troupe::fuzz {

void json_schema(input x) {
  walk_grammar({grammar_kind::json_schema, std::string{x}});
}

} // namespace troupe::fuzz
