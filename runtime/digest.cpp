#include "runtime/digest.hpp"

#include "kernels/check.hpp"

#include <xxhash.h>
#ifdef __x86_64__
#include <xxh_x86dispatch.h> // the widest vectors that the processor has
#endif

#include <cstdio>
#include <new>

namespace troupe {

namespace {

digest to_digest(const XXH128_hash_t& x) {
  return {x.low64, x.high64};
}

} // namespace

struct digest_stream::state {
  XXH3_state_t* xxh = XXH3_createState();

  state() {
    if (!xxh)
      throw std::bad_alloc{};
    CHECK(XXH3_128bits_reset(xxh) == XXH_OK);
  }

  ~state() {
    XXH3_freeState(xxh);
  }
};

digest_stream::digest_stream() : state_(std::make_unique<state>()) {
}

digest_stream::~digest_stream() = default;

void digest_stream::add(std::span<const std::byte> bytes) {
  if (bytes.empty())
    return; // without an address, which xxhash would refuse
  CHECK(XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size()) == XXH_OK);
}

digest digest_stream::take() {
  auto out = to_digest(XXH3_128bits_digest(state_->xxh));
  CHECK(XXH3_128bits_reset(state_->xxh) == XXH_OK);
  return out;
}

std::string to_string(const digest& x) {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx",
                static_cast<unsigned long long>(x.high),
                static_cast<unsigned long long>(x.low));
  return text;
}

digest digest_of(std::span<const std::byte> bytes) {
  return to_digest(XXH3_128bits(bytes.data(), bytes.size()));
}

digest digest_of(std::string_view text) {
  return digest_of(std::as_bytes(std::span{text}));
}

} // namespace troupe
