// Chooses the loops once, by name and by what the machine has.

#include "kernels/cpu/targets.hpp"

#include <hwy/highway.h>

#include "kernels/check.hpp"
#include "kernels/cpu/fill.hpp"

#include <array>

// The best first; what the compiler takes for granted last.
#if HWY_TARGETS & HWY_AVX3
TROUPE_DECLARE_FILL(N_AVX3)
#endif
#if HWY_TARGETS & HWY_AVX2
TROUPE_DECLARE_FILL(N_AVX2)
#endif
TROUPE_DECLARE_FILL(HWY_NAMESPACE)

namespace troupe::kernels::cpu {

namespace {

struct target {
  std::string_view name;
  bool exists; ///< On this machine.
  void (*fill)(kernel_set& set);
};

void fill_portable(kernel_set& set) {
  HWY_NAMESPACE::fill_tiles(set);
  HWY_NAMESPACE::fill_rows(set);
  HWY_NAMESPACE::fill_attention(set);
}

void fill_avx2([[maybe_unused]] kernel_set& set) {
#if HWY_TARGETS & HWY_AVX2
  N_AVX2::fill_tiles(set);
  N_AVX2::fill_rows(set);
  N_AVX2::fill_attention(set);
#endif
}

void fill_avx512([[maybe_unused]] kernel_set& set) {
#if HWY_TARGETS & HWY_AVX3
  N_AVX3::fill_tiles(set);
  N_AVX3::fill_rows(set);
  N_AVX3::fill_attention(set);
#endif
}

void fill_avx512_bf16(kernel_set& set) {
  fill_avx512(set);
  fill_dot(set);
}

std::array<target, 4> list_targets() {
  auto here = hwy::SupportedTargets() & HWY_TARGETS;
  bool avx512 = (here & HWY_AVX3) != 0;
  return {{{"avx512-bf16", avx512 && has_dot(), fill_avx512_bf16},
           {"avx512", avx512, fill_avx512},
           {"avx2", (here & HWY_AVX2) != 0, fill_avx2},
           {"portable", true, fill_portable}}};
}

} // namespace

kernel_set make_kernel_set(std::string_view name) {
  kernel_set out;
  bool reached = name == "best";
  for (auto& t : list_targets()) {
    reached = reached || t.name == name;
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
