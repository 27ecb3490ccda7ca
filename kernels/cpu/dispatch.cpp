// Chooses the loops once, by name and by what the machine has.

#include "kernels/cpu/targets.hpp"

#include <hwy/highway.h>

#include "kernels/check.hpp"
#include "kernels/cpu/dot_choice.hpp"
#include "kernels/cpu/fill.hpp"
#include "kernels/cpu_targets.hpp"

#include <array>

namespace troupe::kernels::cpu {

// Not all of them are defined in every build.

namespace N_AVX3 {
void fill_tiles(kernel_set& set);
void fill_rows(kernel_set& set);
void fill_attention(kernel_set& set);
void fill_sample(kernel_set& set);
} // namespace N_AVX3

namespace N_AVX2 {
void fill_tiles(kernel_set& set);
void fill_rows(kernel_set& set);
void fill_attention(kernel_set& set);
void fill_sample(kernel_set& set);
} // namespace N_AVX2

namespace HWY_NAMESPACE { // what the compiler takes for granted
void fill_tiles(kernel_set& set);
void fill_rows(kernel_set& set);
void fill_attention(kernel_set& set);
void fill_sample(kernel_set& set);
} // namespace HWY_NAMESPACE

namespace {

struct target {
  std::string_view name;
  bool exists; ///< On this machine.
  /// Better than the next one, so that "best" may be it; null: it is.
  bool (*is_worth)();
  void (*fill)(kernel_set& set);
};

void fill_portable(kernel_set& set) {
  HWY_NAMESPACE::fill_tiles(set);
  HWY_NAMESPACE::fill_rows(set);
  HWY_NAMESPACE::fill_attention(set);
  HWY_NAMESPACE::fill_sample(set);
}

void fill_avx2([[maybe_unused]] kernel_set& set) {
#if HWY_TARGETS & HWY_AVX2
  N_AVX2::fill_tiles(set);
  N_AVX2::fill_rows(set);
  N_AVX2::fill_attention(set);
  N_AVX2::fill_sample(set);
#endif
}

void fill_avx512([[maybe_unused]] kernel_set& set) {
#if HWY_TARGETS & HWY_AVX3
  N_AVX3::fill_tiles(set);
  N_AVX3::fill_rows(set);
  N_AVX3::fill_attention(set);
  N_AVX3::fill_sample(set);
  if (has_f8())
    fill_f8(set);
#endif
}

void fill_avx512_bf16(kernel_set& set) {
  fill_avx512(set);
  fill_dot(set);
  fill_dot_attention(set);
}

std::array<target, 4> list_targets() {
  auto here = hwy::SupportedTargets() & HWY_TARGETS;
  bool avx512 = (here & HWY_AVX3) != 0;
  bool avx2 = (here & HWY_AVX2) != 0;
  return {{{"avx512-bf16", avx512 && has_defined_dot(), has_fast_dot,
            fill_avx512_bf16},
           {"avx512", avx512, nullptr, fill_avx512},
           {"avx2", avx2, nullptr, fill_avx2},
           {"portable", true, nullptr, fill_portable}}};
}

bool is_best(const target& t) {
  return t.exists && (!t.is_worth || t.is_worth());
}

} // namespace

kernel_set make_kernel_set(std::string_view name) {
  kernel_set out;
  bool reached = false;
  for (auto& t : list_targets()) {
    reached = reached || t.name == name || (name == "best" && is_best(t));
    if (!reached || !t.exists)
      continue;
    out.name = t.name;
    t.fill(out);
    return out;
  }
  CHECK(!"a target of this name");
  return out;
}

} // namespace troupe::kernels::cpu

namespace troupe::kernels {

std::vector<std::string> cpu_targets() {
  std::vector<std::string> out;
  for (auto& t : cpu::list_targets())
    if (t.exists)
      out.emplace_back(t.name);
  return out;
}

} // namespace troupe::kernels
