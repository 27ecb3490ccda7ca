#include "tests/fuzz/target.hpp"

#include "runtime/dispatch/answer_slab.hpp"
#include "runtime/dispatch/slab.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void rows(input x) {
  // Slabs are read where they lie: at an address like that of a frame's body.
  std::vector<std::max_align_t> room(x.size() / sizeof(std::max_align_t) + 1);
  auto begin = reinterpret_cast<std::byte*>(room.data());
  std::copy_n(bytes_of(x).data(), x.size(), begin);
  std::span<const std::byte> bytes{begin, x.size()};
  for (uint32_t row_bytes : {1u, 16u, 7168u}) {
    auto slab = read_slab(bytes, row_bytes);
    check_refusal(slab);
    if (slab)
      CHECK(slab->rows.size() == size_t{slab->num_rows} * row_bytes);
    auto answers = read_answers(bytes, row_bytes);
    check_refusal(answers);
    uint64_t count = 0;
    for (uint32_t i = 0; answers && i < answers->num_sections(); ++i)
      count += answers->section(i).count;
    if (answers)
      CHECK(answers->rows().size() == count * row_bytes);
  }
}

} // namespace troupe::fuzz
