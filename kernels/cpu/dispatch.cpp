// Chooses the loops once, by name and by what the machine has.

#include "kernels/cpu/targets.hpp"

#include <hwy/highway.h>

#include "kernels/check.hpp"
#include "kernels/cpu/fill.hpp"

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
  bool exists;   ///< On this machine.
  bool is_worth; ///< Better than the next one, so that "best" may be it.
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
}

/// Whether a dot product of pairs takes no longer than one multiply-add. So it
/// is with AMD (940 against 464 GFLOP/s on two cores of Zen 5); Intel's takes
/// four times as long (115 against 230 on one core with AMX).
bool has_fast_dot() {
#if HWY_ARCH_X86
  return __builtin_cpu_is("amd");
#else
  return false;
#endif
}

std::array<target, 4> list_targets() {
  auto here = hwy::SupportedTargets() & HWY_TARGETS;
  bool avx512 = (here & HWY_AVX3) != 0;
  bool avx2 = (here & HWY_AVX2) != 0;
  return {
    {{"avx512-bf16", avx512 && has_dot(), has_fast_dot(), fill_avx512_bf16},
     {"avx512", avx512, true, fill_avx512},
     {"avx2", avx2, true, fill_avx2},
     {"portable", true, true, fill_portable}}};
}

} // namespace

kernel_set make_kernel_set(std::string_view name) {
  kernel_set out;
  bool reached = false;
  for (auto& t : list_targets()) {
    reached = reached || t.name == name || (name == "best" && t.is_worth);
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
