#include "tests/fuzz/target.hpp"

#include "runtime/cluster/cluster_state.hpp"
#include "runtime/transport/crc32c.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

namespace {

void try_bytes(std::span<const std::byte> bytes) {
  auto read = decode_cluster_state(bytes);
  check_refusal(read);
  if (!read)
    return;
  auto again = decode_cluster_state(encode(*read));
  CHECK(again && *again == *read);
}

} // namespace

/// As it stands, and with a checksum that fits.
void state_file(input x) {
  auto bytes = std::as_bytes(std::span{x.data(), x.size()});
  try_bytes(bytes);
  constexpr size_t head = 16, sum_at = 12;
  if (bytes.size() < head)
    return;
  std::vector<std::byte> whole{bytes.begin(), bytes.end()};
  auto all = std::span<const std::byte>{whole};
  auto sum = crc32c(all.subspan(head), crc32c(all.first(sum_at)));
  for (int i = 0; i < 4; ++i)
    whole[sum_at + size_t(i)] = std::byte(sum >> 8 * i);
  try_bytes(whole);
}

} // namespace troupe::fuzz
