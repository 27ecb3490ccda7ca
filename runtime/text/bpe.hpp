#pragma once

/// Byte-pair encoding of one piece of text: the pair of the lowest rank is
/// merged first, the leftmost where ranks are equal, until no pair is left.

#include "runtime/error.hpp"

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace troupe {

/// left right -> merged; earlier merges have the lower rank.
struct bpe_merge {
  int32_t left = 0;
  int32_t right = 0;
  int32_t merged = 0;
};

class bpe {
public:
  /// `byte_ids`: the token of each single byte.
  bpe(const std::array<int32_t, 256>& byte_ids,
      const std::vector<bpe_merge>& merges);

  /// Memory of a call, to be used again by the next one.
  struct scratch {
    struct symbol {
      int32_t id;    // -1: merged into another
      uint32_t prev; // `none` at the ends
      uint32_t next;
    };

    struct candidate {
      uint32_t rank;
      uint32_t at;
      int32_t merged;
    };

    std::vector<symbol> symbols;
    std::vector<candidate> heap;
  };

  /// Appends the tokens of `piece` (below 4 GiB). O(n log n) for n bytes.
  void encode(std::string_view piece, scratch& memory,
              std::vector<int32_t>& ids) const;

private:
  struct slot {
    int32_t left = -1;
    int32_t right = -1;
    int32_t merged = -1;
    uint32_t rank = 0;
  };

  static constexpr uint32_t none = UINT32_MAX;

  size_t place_of(int32_t left, int32_t right) const;
  const slot* find(int32_t left, int32_t right) const;
  void begin(std::string_view piece, scratch& memory) const;
  void offer(scratch& memory, uint32_t at) const;
  void merge(scratch& memory, scratch::candidate best) const;

  std::array<int32_t, 256> byte_ids_;
  std::vector<slot> slots_; // open addressing, a power of two, half empty
};

} // namespace troupe
