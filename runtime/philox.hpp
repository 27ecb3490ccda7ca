#pragma once

/// Random numbers without state: a function of a counter and a key.

#include <array>
#include <cstdint>

namespace troupe {

/// Philox 4x32-10. [Salmon et al., "Parallel random numbers: as easy as 1, 2,
/// 3", SC'11; checked against kat_vectors of Random123]
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter,
                                   std::array<uint32_t, 2> key);

} // namespace troupe
