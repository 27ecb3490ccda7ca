#include "runtime/sim/even_routes.hpp"

#include <numeric>
#include <set>

namespace troupe {

std::vector<int32_t> draw_experts(uint32_t rows, uint32_t top_k,
                                  uint32_t num_experts, random_stream& chance) {
  std::vector<int32_t> out;
  std::vector<int32_t> deck(num_experts);
  std::iota(deck.begin(), deck.end(), 0);
  for (uint32_t r = 0; r < rows; ++r) {
    auto at = size_t{r % (num_experts / top_k)} * top_k;
    if (at == 0)
      for (size_t i = deck.size(); i > 1; --i)
        std::swap(deck[i - 1], deck[chance.uniform(i)]);
    out.insert(out.end(), deck.begin() + ptrdiff_t(at),
               deck.begin() + ptrdiff_t(at + top_k));
  }
  return out;
}

double reach_of_row(const std::vector<std::vector<int32_t>>& choices,
                    uint32_t top_k, const placement& map,
                    uint32_t workers_of_group) {
  double reached = 0, rows = 0;
  std::set<uint32_t> groups;
  for (auto& all : choices)
    for (size_t i = 0; i < all.size(); i += top_k) {
      groups.clear();
      for (size_t k = 0; k < top_k; ++k)
        groups.insert(map.choose(0, uint32_t(all[i + k]), 0).worker
                      / workers_of_group);
      reached += double(groups.size());
      ++rows;
    }
  return reached / rows;
}

} // namespace troupe
