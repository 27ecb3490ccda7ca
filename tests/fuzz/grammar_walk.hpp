#pragma once

/// What a grammar that was compiled has to stand: texts, along all of its ways.

#include "runtime/grammar/compile_grammar.hpp"
#include "runtime/grammar/matcher.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

/// Compiles `x`, and follows its own source and some JSON as texts.
inline void walk_grammar(const grammar_source& x) {
  auto program = compile_grammar(x);
  check_refusal(program);
  if (!program)
    return;
  CHECK((*program)->code.size() <= max_grammar_steps);
  grammar_matcher matcher{*program};
  for (std::string_view text :
       {std::string_view{x.text}.substr(0, 64), std::string_view{"aaaaaaaaa"},
        std::string_view{R"({"a": [1, -2.5e3, "b\n"], "c": null})"}}) {
    auto at = matcher.begin();
    for (auto byte : text) {
      at = matcher.after(at, static_cast<uint8_t>(byte));
      if (at == grammar_matcher::dead)
        break;
      CHECK(matcher.number_of(matcher.state_of(at)) == at);
    }
  }
}

} // namespace troupe::fuzz
