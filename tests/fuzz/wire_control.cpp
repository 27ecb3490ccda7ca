#include "tests/fuzz/target.hpp"

#include "actors/wire.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void wire_control(input x) {
  // As a frame's body lies in memory.
  std::vector<std::max_align_t> room(x.size() / sizeof(std::max_align_t) + 1);
  auto begin = reinterpret_cast<std::byte*>(room.data());
  std::copy_n(bytes_of(x).data(), x.size(), begin);
  auto message = decode(3, {begin, x.size()});
  check_refusal(message);
  if (!message)
    return;
  auto bytes = encode(*message);
  auto again = decode(3, bytes.bytes());
  CHECK(again && again->index() == message->index());
  auto twice = encode(*again);
  CHECK(std::ranges::equal(bytes.bytes(), twice.bytes()));
}

} // namespace troupe::fuzz
