#include "runtime/dispatch/answer_slab.hpp"

#include "kernels/check.hpp"

#include <cstring>

namespace troupe {

namespace {

constexpr size_t prefix = 8;

/// A section on the wire.
struct entry {
  uint16_t worker = 0;
  uint16_t zero = 0;
  uint32_t count = 0;
  uint64_t first = 0;
};

static_assert(sizeof(entry) == 16);

failure damaged(const char* what) {
  return {errc::invalid_input, std::string{"a slab of answers has "} + what};
}

} // namespace

void write_answer_head(std::byte* to,
                       std::span<const answer_section> sections) {
  CHECK(!sections.empty());
  auto size = answer_head(sections.size());
  std::memset(to, 0, size);
  auto num_sections = static_cast<uint32_t>(sections.size());
  auto first_row = static_cast<uint32_t>(size);
  std::memcpy(to, &num_sections, 4);
  std::memcpy(to + 4, &first_row, 4);
  for (size_t i = 0; i < sections.size(); ++i) {
    entry x{sections[i].worker, 0, sections[i].count, sections[i].first};
    std::memcpy(to + prefix + i * sizeof x, &x, sizeof x);
  }
}

answer_section answer_view::section(uint32_t i) const {
  entry x;
  std::memcpy(&x, bytes_.data() + prefix + i * sizeof x, sizeof x);
  return {x.worker, x.first, x.count};
}

result<answer_view> read_answers(std::span<const std::byte> bytes,
                                 uint64_t row_bytes) {
  CHECK(row_bytes > 0);
  if (bytes.size() < prefix)
    return damaged("fewer bytes than its prefix");
  uint32_t first_row = 0;
  answer_view out;
  std::memcpy(&out.num_sections_, bytes.data(), 4);
  std::memcpy(&first_row, bytes.data() + 4, 4);
  if (out.num_sections_ == 0 || first_row != answer_head(out.num_sections_)
      || first_row > bytes.size())
    return damaged("a prefix that makes no sense");
  out.bytes_ = bytes;
  uint64_t num_rows = 0;
  for (uint32_t i = 0; i < out.num_sections_; ++i) {
    auto x = out.section(i);
    if (x.count == 0)
      return damaged("a section without rows");
    if (i > 0 && out.section(i - 1).worker >= x.worker)
      return damaged("sections that are out of order");
    num_rows += x.count;
  }
  auto room = bytes.size() - first_row;
  if (room % row_bytes != 0 || num_rows != room / row_bytes)
    return damaged("other rows than its sections");
  return out;
}

} // namespace troupe
