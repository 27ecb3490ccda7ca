#pragma once

// Which instruction sets Highway compiles the loops for. To be included before
// any header of Highway. What the compiler takes for granted is always there.

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
