#include "runtime/convert/random_weights.hpp"

#include "kernels/check.hpp"
#include "kernels/host/floats.hpp"
#include "runtime/fnv.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace troupe {

namespace {

constexpr uint64_t golden_ratio = 0x9e3779b97f4a7c15;
constexpr uint64_t block_salt = 0xb10c0000;
constexpr uint64_t scale_width = 128;
constexpr size_t num_lanes = 65536;

/// splitmix64's output number `count` from `state`.
constexpr uint64_t splitmix(uint64_t state, uint64_t count) {
  auto z = state + count * golden_ratio;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/// Coefficients of a polynomial, the highest power first.
using polynomial = std::array<double, 8>;

double evaluate(const polynomial& c, double x) {
  double sum = 0;
  for (auto factor : c)
    sum = sum * x + factor;
  return sum;
}

struct quotient {
  polynomial above;
  polynomial below;

  double operator()(double x) const {
    return evaluate(above, x) / evaluate(below, x);
  }
};

// AS241, PPND16: |p - 0.5| <= 0.425, then by sqrt(-log(tail)): <= 5, above.
constexpr quotient middle
  = {{2.50908092873012267270e+3, 3.34305755835881281050e+4,
      6.72657709270087008530e+4, 4.59219539315498714570e+4,
      1.37316937655094611250e+4, 1.97159095030655144270e+3,
      1.33141667891784377450e+2, 3.38713287279636660800e+0},
     {5.22649527885285456100e+3, 2.87290857357219426740e+4,
      3.93078958000927106100e+4, 2.12137943015865958670e+4,
      5.39419602142475110770e+3, 6.87187007492057908300e+2,
      4.23133307016009112520e+1, 1.0}};
constexpr quotient side
  = {{7.74545014278341407640e-4, 2.27238449892691845833e-2,
      2.41780725177450611770e-1, 1.27045825245236838258e+0,
      3.64784832476320460504e+0, 5.76949722146069140550e+0,
      4.63033784615654529590e+0, 1.42343711074968357734e+0},
     {1.05075007164441684324e-9, 5.47593808499534494600e-4,
      1.51986665636164571966e-2, 1.48103976427480074590e-1,
      6.89767334985100004550e-1, 1.67638483018380384940e+0,
      2.05319162663775882187e+0, 1.0}};
constexpr quotient tail
  = {{2.01033439929228813265e-7, 2.71155556874348757815e-5,
      1.24266094738807843860e-3, 2.65321895265761230930e-2,
      2.96560571828504891230e-1, 1.78482653991729133580e+0,
      5.46378491116411436990e+0, 6.65790464350110377720e+0},
     {2.04426310338993978564e-15, 1.42151175831644588870e-7,
      1.84631831751005468180e-5, 7.86869131145613259100e-4,
      1.48753612908506148525e-2, 1.36929880922735805310e-1,
      5.99832206555887937690e-1, 1.0}};

std::vector<uint8_t> make_codes() {
  std::vector<uint8_t> out(num_lanes);
  for (size_t i = 0; i < num_lanes; ++i) {
    auto p = (static_cast<double>(i) + 0.5) / num_lanes;
    auto x = 64 * inverse_normal(p);
    out[i] = kernels::host::to_e4m3(static_cast<float>(x));
  }
  return out;
}

template <class T>
void store(std::byte* out, size_t i, T x) {
  std::memcpy(out + i * sizeof(T), &x, sizeof(T));
}

/// Calls `put(i, lane)` for `count` lanes from number `first` on.
template <class Put>
void each_lane(uint64_t state, uint64_t first, size_t count, Put put) {
  auto draw = first / 4;
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    auto bits = splitmix(state, ++draw);
    put(i, static_cast<uint16_t>(bits));
    put(i + 1, static_cast<uint16_t>(bits >> 16));
    put(i + 2, static_cast<uint16_t>(bits >> 32));
    put(i + 3, static_cast<uint16_t>(bits >> 48));
  }
  for (auto bits = splitmix(state, ++draw); i < count; ++i, bits >>= 16)
    put(i, static_cast<uint16_t>(bits));
}

int block_exponent(uint64_t state, const random_tensor& x, uint64_t block) {
  auto bit = splitmix(state ^ (block_salt + block), 1) & 1;
  return x.exponent - static_cast<int>(bit);
}

using bf16_table = std::array<uint16_t, 256>;

/// Every code times 2^exponent.
bf16_table scaled_codes(int exponent) {
  bf16_table out;
  for (uint32_t code = 0; code < 256; ++code)
    out[code] = kernels::host::to_bf16(std::ldexp(
      kernels::host::from_e4m3(static_cast<uint8_t>(code)), exponent));
  return out;
}

/// Turns codes into values, for the parts of rows that lie in one block each.
void fill_values(uint64_t state, const random_tensor& x, uint64_t first,
                 std::span<const uint8_t> codes, std::byte* out) {
  const bf16_table tables[2] = {scaled_codes(x.exponent),
                                scaled_codes(x.exponent - 1)};
  auto blocks = (x.cols + scale_width - 1) / scale_width;
  auto end = first + codes.size();
  for (auto at = first; at < end;) {
    auto row = at / x.cols;
    auto block = at % x.cols / scale_width;
    auto stop = std::min(
      {end, row * x.cols + (block + 1) * scale_width, (row + 1) * x.cols});
    auto exponent = block_exponent(state, x,
                                   row / scale_width * blocks + block);
    auto& values = tables[x.exponent - exponent];
    for (; at < stop; ++at)
      store(out, at - first, values[codes[at - first]]);
  }
}

} // namespace

uint32_t element_bytes(random_kind kind) {
  switch (kind) {
    case random_kind::codes:
      return 1;
    case random_kind::values:
    case random_kind::table:
    case random_kind::norm:
      return 2;
    default:
      return 4;
  }
}

int random_exponent(uint64_t num_inputs, bool doubled) {
  CHECK(num_inputs > 0);
  auto most = doubled ? -5 : -6;
  auto log = static_cast<int>(std::bit_width(num_inputs)) - 1;
  auto is_tie = std::has_single_bit(num_inputs) && log % 2 == 1;
  auto out = most - (log + 1) / 2;
  return is_tie && out % 2 != 0 ? out + 1 : out;
}

double inverse_normal(double p) {
  CHECK(p > 0 && p < 1);
  auto q = p - 0.5;
  if (std::fabs(q) <= 0.425)
    return q * middle(0.180625 - q * q);
  auto r = std::sqrt(-std::log(q <= 0 ? p : 1 - p));
  auto x = r <= 5 ? side(r - 1.6) : tail(r - 5);
  return q < 0 ? -x : x;
}

random_weights::random_weights(uint64_t seed)
  : seed_(seed), codes_(make_codes()) {
}

uint64_t random_weights::state_of(std::string_view name) const {
  return fnv_1a(name) ^ (seed_ * golden_ratio);
}

void random_weights::fill(const random_tensor& x, uint64_t first,
                          std::span<std::byte> out) const {
  CHECK(first % 4 == 0);
  auto state = state_of(x.name);
  auto count = out.size() / element_bytes(x.kind);
  auto to = out.data();
  auto lut = codes_.data();
  switch (x.kind) {
    case random_kind::codes:
      return each_lane(state, first, count, [=](size_t i, uint16_t lane) {
        to[i] = static_cast<std::byte>(lut[lane]);
      });
    case random_kind::scales:
      for (size_t i = 0; i < count; ++i)
        store(to, i, std::ldexp(1.0f, block_exponent(state, x, first + i)));
      return;
    case random_kind::values: {
      std::vector<uint8_t> codes(count);
      each_lane(state, first, count,
                [&](size_t i, uint16_t lane) { codes[i] = lut[lane]; });
      return fill_values(state, x, first, codes, to);
    }
    case random_kind::table:
      return each_lane(
        state, first, count,
        [=, values = scaled_codes(x.exponent)](size_t i, uint16_t lane) {
          store(to, i, values[lut[lane]]);
        });
    case random_kind::norm:
      return each_lane(state, first, count, [=](size_t i, uint16_t lane) {
        auto value = 0.875f + static_cast<float>(lane >> 11) / 128;
        store(to, i, kernels::host::to_bf16(value));
      });
    case random_kind::bias:
      return each_lane(state, first, count, [=](size_t i, uint16_t lane) {
        store(to, i, kernels::host::from_e4m3(lut[lane]) * 0x1p-9f);
      });
  }
}

} // namespace troupe
