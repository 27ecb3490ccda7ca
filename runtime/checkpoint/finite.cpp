#include "runtime/checkpoint/finite.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace troupe {

namespace {

constexpr float largest_code = 448;

/// How a type says that an element is no finite number: the bits of `all` are
/// set. Added to them, `one` carries into `sign` then, and not further.
struct pattern {
  uint64_t all;
  uint64_t one;
  uint64_t sign;
};

pattern pattern_of(tensor_type type) {
  switch (type) {
    case tensor_type::f32:
      return {0x7f8000007f800000, 0x0080000000800000, 0x8000000080000000};
    case tensor_type::bf16:
      return {0x7f807f807f807f80, 0x0080008000800080, 0x8000800080008000};
    default:
      CHECK(type == tensor_type::f8_e4m3);
      return {0x7f7f7f7f7f7f7f7f, 0x0101010101010101, 0x8080808080808080};
  }
}

/// Two words that a compiler adds at once on every machine.
using words = uint64_t __attribute__((vector_size(16)));

words load(const std::byte* from) {
  words out;
  std::memcpy(&out, from, sizeof(out));
  return out;
}

constexpr size_t step = 4 * sizeof(words);

/// Whether any of the elements in whole steps of `values` has the pattern.
bool any_in_steps(const pattern& x, std::span<const std::byte> values) {
  const words all = {x.all, x.all};
  const words one = {x.one, x.one};
  words a{}, b{}, c{}, d{}; // four sums that do not wait for each other
  auto at = values.data();
  for (auto n = values.size() / step; n > 0; --n, at += step) {
    a |= (load(at) & all) + one;
    b |= (load(at + 16) & all) + one;
    c |= (load(at + 32) & all) + one;
    d |= (load(at + 48) & all) + one;
  }
  auto found = a | b | c | d;
  return ((found[0] | found[1]) & x.sign) != 0;
}

/// The same for one element.
bool has_pattern(const pattern& x, std::span<const std::byte> element) {
  uint64_t word = 0;
  std::memcpy(&word, element.data(), element.size());
  auto sign = uint64_t{1} << (8 * element.size() - 1);
  return (((word & x.all) + x.one) & x.sign & sign) != 0;
}

/// Long enough to be quick, short enough to be looked through again.
constexpr size_t chunk_bytes = 64 << 10;

} // namespace

std::optional<uint64_t> first_not_finite(tensor_type type,
                                         std::span<const std::byte> values) {
  auto x = pattern_of(type);
  auto width = size_of(type);
  for (size_t at = 0; at < values.size(); at += chunk_bytes) {
    auto chunk = values.subspan(at, std::min(chunk_bytes, values.size() - at));
    auto in_steps = chunk.size() / step * step;
    auto first = any_in_steps(x, chunk) ? 0 : in_steps;
    for (auto i = first; i < chunk.size(); i += width)
      if (has_pattern(x, chunk.subspan(i, width)))
        return (at + i) / width;
  }
  return std::nullopt;
}

failure not_finite(std::string_view name, uint64_t element) {
  return {errc::invalid_input, "tensor " + std::string{name}
                                 + " is not finite at element "
                                 + std::to_string(element)};
}

result<void> check_scales(std::string_view name,
                          std::span<const float> scales) {
  constexpr auto most = std::numeric_limits<float>::max() / largest_code;
  for (size_t i = 0; i < scales.size(); ++i) {
    if (!std::isfinite(scales[i]))
      return not_finite(name, i);
    if (scales[i] < 0 || scales[i] > most)
      return failure{errc::invalid_input, "tensor " + std::string{name}
                                            + " is no scale of FP8 codes at "
                                              "element "
                                            + std::to_string(i)};
  }
  return {};
}

} // namespace troupe
