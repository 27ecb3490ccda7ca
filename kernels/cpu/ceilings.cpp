#include "kernels/cpu/ceilings.hpp"

#include "kernels/cpu/fill.hpp"

#include <cstring>

namespace troupe::kernels::cpu {

namespace {

/// For CPUs that nothing more is known of.
uint64_t read_words(const std::byte* mem, uint64_t bytes) {
  uint64_t sums[8] = {};
  for (uint64_t i = 0; i < bytes; i += sizeof(sums)) {
    uint64_t words[8];
    std::memcpy(words, mem + i, sizeof(words));
    for (uint32_t j = 0; j < 8; ++j)
      sums[j] ^= words[j];
  }
  uint64_t out = 0;
  for (auto sum : sums)
    out ^= sum;
  asm volatile("" : : "r"(out));
  return out;
}

} // namespace

} // namespace troupe::kernels::cpu

#if defined(__x86_64__)

#include <immintrin.h>

namespace troupe::kernels::cpu {

namespace {

constexpr uint32_t chains = 16; // more than latency times rate

[[gnu::target("avx512f")]] uint64_t fma512(uint64_t rounds) {
  __m512 sums[chains];
  for (auto& sum : sums)
    sum = _mm512_setzero_ps();
  auto x = _mm512_set1_ps(0.5f);
  for (uint64_t i = 0; i < rounds; ++i) {
    asm volatile("" : "+v"(x));
#pragma GCC unroll 16
    for (auto& sum : sums)
      sum = _mm512_fmadd_ps(sum, x, x);
  }
  for (auto& sum : sums)
    asm volatile("" : : "v"(sum));
  return rounds * chains * 32;
}

[[gnu::target("avx2,fma")]] uint64_t fma256(uint64_t rounds) {
  constexpr uint32_t chains = 12;
  __m256 sums[chains];
  for (auto& sum : sums)
    sum = _mm256_setzero_ps();
  auto x = _mm256_set1_ps(0.5f);
  for (uint64_t i = 0; i < rounds; ++i) {
    asm volatile("" : "+x"(x));
#pragma GCC unroll 16
    for (auto& sum : sums)
      sum = _mm256_fmadd_ps(sum, x, x);
  }
  for (auto& sum : sums)
    asm volatile("" : : "x"(sum));
  return rounds * chains * 16;
}

[[gnu::target("avx512f,avx512bf16")]] uint64_t dot512(uint64_t rounds) {
  __m512 sums[chains];
  for (auto& sum : sums)
    sum = _mm512_setzero_ps();
  auto bits = _mm512_set1_epi32(0x3f003f00);
  for (uint64_t i = 0; i < rounds; ++i) {
    asm volatile("" : "+v"(bits));
    auto x = reinterpret_cast<__m512bh>(bits);
#pragma GCC unroll 16
    for (auto& sum : sums)
      sum = _mm512_dpbf16_ps(sum, x, x);
  }
  for (auto& sum : sums)
    asm volatile("" : : "v"(sum));
  return rounds * chains * 64;
}

[[gnu::target("avx2")]] uint64_t read256(const std::byte* mem, uint64_t bytes) {
  __m256i sums[16];
  for (auto& sum : sums)
    sum = _mm256_setzero_si256();
  for (uint64_t i = 0; i < bytes; i += sizeof(sums)) {
#pragma GCC unroll 16
    for (uint32_t j = 0; j < 16; ++j) {
      auto from = reinterpret_cast<const __m256i*>(mem + i + j * 32);
      sums[j] = _mm256_xor_si256(sums[j], _mm256_loadu_si256(from));
    }
  }
  uint64_t out = 0;
  for (auto& sum : sums)
    out ^= uint64_t(_mm256_extract_epi64(sum, 0));
  return out;
}

} // namespace

uint64_t spin_fma(uint64_t rounds) {
  if (__builtin_cpu_supports("avx512f"))
    return fma512(rounds);
  return __builtin_cpu_supports("fma") ? fma256(rounds) : 0;
}

uint64_t spin_dot(uint64_t rounds) {
  return has_dot() ? dot512(rounds) : 0;
}

uint64_t read_all(const std::byte* mem, uint64_t bytes) {
  return __builtin_cpu_supports("avx2") ? read256(mem, bytes)
                                        : read_words(mem, bytes);
}

} // namespace troupe::kernels::cpu

#else

namespace troupe::kernels::cpu {

uint64_t spin_fma(uint64_t) {
  return 0;
}

uint64_t spin_dot(uint64_t) {
  return 0;
}

uint64_t read_all(const std::byte* mem, uint64_t bytes) {
  return read_words(mem, bytes);
}

} // namespace troupe::kernels::cpu

#endif
