#include "tests/fuzz/target.hpp"

#include "runtime/meeting/handshake.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

namespace {

handshake_options options_of(const std::string& name, uint16_t number) {
  return {"cluster", "secret", {name, number, 0, {"127.0.0.1", number}}};
}

hello_nonce nonce_of(int fill) {
  hello_nonce x;
  x.fill(std::byte(fill));
  return x;
}

} // namespace

/// The first byte says in which place of a meeting the rest is heard.
void handshake(input x) {
  using role = troupe::handshake::role;
  if (x.empty())
    return;
  const auto a = options_of("a", 1), b = options_of("b", 2);
  troupe::handshake from{role::initiator, a, nonce_of(1)};
  troupe::handshake to{role::responder, b, nonce_of(2)};
  auto place = static_cast<unsigned char>(x[0]) % 4u;
  auto message = from.greeting();
  for (unsigned i = 0; i < place; ++i)
    message = i == 3 ? to.welcome()
                     : (i % 2 ? from : to).receive(message).reply;
  auto& hearing = place % 2 ? from : to;
  auto step = hearing.receive(bytes_of(x.substr(1)));
  // Nobody but who knows the secret gets as far as this.
  CHECK(!step.met && !step.done && !hearing.is_done());
  if (step.failed)
    check_sentence(step.failed->message);
  CHECK(step.reply.size() <= troupe::handshake::max_message);
  if (auto why = troupe::handshake::read_refusal(bytes_of(x.substr(1))))
    CHECK(why->size() <= troupe::handshake::max_message);
}

} // namespace troupe::fuzz
