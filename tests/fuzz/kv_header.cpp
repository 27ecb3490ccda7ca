#include "tests/fuzz/target.hpp"

#include "runtime/kv_store/kv_record.hpp"
#include "tests/fuzz/checks.hpp"

#include <algorithm>
#include <cstring>

namespace troupe::fuzz {

/// As it stands, and with a digest that fits.
void kv_header(input x) {
  auto bytes = std::as_bytes(std::span{x.data(), x.size()});
  if (auto read = read_header(bytes))
    CHECK(read_header(write_header(*read)) == *read);
  kv_record::header whole{};
  constexpr auto digest_at = whole.size() - sizeof(digest);
  std::copy_n(bytes.begin(), std::min(bytes.size(), digest_at), whole.begin());
  auto fits = digest_of(std::span<const std::byte>{whole}.first(digest_at));
  std::memcpy(whole.data() + digest_at, &fits, sizeof fits);
  if (auto read = read_header(whole)) {
    auto written = write_header(*read);
    CHECK(read_header(written) == *read);
    // All but what is zero and the digest.
    CHECK(std::equal(whole.begin(), whole.begin() + 416, written.begin()));
  }
}

} // namespace troupe::fuzz
