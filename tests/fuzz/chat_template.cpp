#include "tests/fuzz/target.hpp"

#include "runtime/text/chat_config.hpp"
#include "runtime/text/chat_template.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void chat_template(input x) {
  auto shape = recognise_chat_template({std::string{x}, "it", {}});
  check_refusal(shape);
  if (shape)
    check_sentence(describe(*shape));
  check_refusal(parse_chat_config(x));
}

} // namespace troupe::fuzz
