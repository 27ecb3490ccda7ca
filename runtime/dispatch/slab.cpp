#include "runtime/dispatch/slab.hpp"

#include "schemas/wire.capnp.h"

#include <capnp/serialize.h>
#include <kj/exception.h>

#include <algorithm>
#include <cstring>

namespace troupe {

namespace {

/// Bytes before the message: its size and the offset of the rows.
constexpr size_t prefix = 8;

constexpr capnp::ReaderOptions limits() {
  return {.traversalLimitInWords = 4u << 20, .nestingLimit = 8};
}

void write_section(schema::DispatchSlab::Section::Builder out,
                   const slab_section& section) {
  CHECK(section.experts.size() == section.slots.size());
  out.setWorker(section.worker);
  auto slots = out.initSlots(static_cast<unsigned>(section.slots.size()));
  for (unsigned i = 0; i < section.slots.size(); ++i) {
    slots[i].setSlot(static_cast<uint16_t>(section.slots[i].slot));
    slots[i].setCount(section.slots[i].count);
    slots[i].setExpert(section.experts[i]);
  }
  auto rows = out.initRows(static_cast<unsigned>(section.row.size()));
  for (unsigned i = 0; i < section.row.size(); ++i)
    rows.set(i, section.row[i]);
}

failure damaged(const char* what) {
  return {errc::invalid_input, std::string{"a slab of rows has "} + what};
}

result<slab_section> read_section(schema::DispatchSlab::Section::Reader in,
                                  uint32_t num_rows) {
  slab_section out;
  out.worker = in.getWorker();
  auto rows = in.getRows(); // once: each time counts as read again
  auto slots = in.getSlots();
  auto most = std::min(slots.size(), rows.size());
  out.slots.reserve(most);
  out.experts.reserve(most);
  out.row.reserve(rows.size());
  for (auto slot : slots) {
    auto first = out.slots.empty()
                   ? 0u
                   : out.slots.back().first + out.slots.back().count;
    auto in_order = out.slots.empty() || out.slots.back().slot < slot.getSlot();
    if (!in_order || slot.getCount() == 0
        || slot.getCount() > rows.size() - first || slot.getCount() > num_rows)
      return damaged("slots that are out of order, empty or too full");
    out.slots.push_back({slot.getSlot(), first, slot.getCount()});
    out.experts.push_back(slot.getExpert());
  }
  for (auto row : rows) {
    if (row >= num_rows)
      return damaged("an index beyond its rows");
    out.row.push_back(row);
  }
  if (out.slots.empty()
      || out.slots.back().first + out.slots.back().count != out.row.size())
    return damaged("slots that do not add up to its rows");
  return out;
}

result<slab_view> read_message(kj::ArrayPtr<const capnp::word> words,
                               std::span<const std::byte> rows,
                               uint32_t row_bytes) {
  capnp::FlatArrayMessageReader reader{words, limits()};
  auto message = reader.getRoot<schema::DispatchSlab>();
  slab_view out;
  out.rows = rows;
  out.num_rows = message.getNumRows();
  if (message.getRowBytes() != row_bytes
      || uint64_t{out.num_rows} * row_bytes != rows.size())
    return damaged("another size than its rows");
  for (auto section : message.getSections()) {
    auto x = read_section(section, out.num_rows);
    if (!x)
      return x.why();
    if (!out.sections.empty() && out.sections.back().worker >= x->worker)
      return damaged("sections that are out of order");
    out.sections.push_back(std::move(*x));
  }
  if (out.sections.empty())
    return damaged("no section");
  return out;
}

} // namespace

result<slab_draft> draft_slab(slab_pool& pool, const slab_plan& plan,
                              uint32_t row_bytes) {
  capnp::word scratch[512] = {};
  capnp::MallocMessageBuilder builder{kj::arrayPtr(scratch, 512)};
  auto message = builder.initRoot<schema::DispatchSlab>();
  message.setNumRows(static_cast<uint32_t>(plan.tokens.size()));
  message.setRowBytes(row_bytes);
  auto sections
    = message.initSections(static_cast<unsigned>(plan.sections.size()));
  for (unsigned i = 0; i < plan.sections.size(); ++i)
    write_section(sections[i], plan.sections[i]);
  auto segments = builder.getSegmentsForOutput();
  auto words = capnp::computeSerializedSizeInWords(segments);
  auto size = static_cast<uint32_t>(words * sizeof(capnp::word));
  auto first_row = (static_cast<uint32_t>(prefix) + size + 63) / 64 * 64;
  auto slab = pool.take(first_row + plan.tokens.size() * row_bytes);
  if (!slab)
    return failure{errc::overloaded, "no memory left for slabs of rows"};
  auto* data = slab->data.get();
  std::memcpy(data, &size, 4);
  std::memcpy(data + 4, &first_row, 4);
  kj::ArrayOutputStream stream{
    kj::arrayPtr(reinterpret_cast<kj::byte*>(data + prefix), size)};
  capnp::writeMessage(stream, segments);
  std::memset(data + prefix + size, 0, first_row - prefix - size);
  return slab_draft{slab->whole(), data + first_row};
}

result<slab_view> read_slab(std::span<const std::byte> bytes,
                            uint32_t row_bytes) {
  uint32_t size = 0;
  uint32_t first_row = 0;
  if (bytes.size() < prefix)
    return damaged("fewer bytes than its prefix");
  std::memcpy(&size, bytes.data(), 4);
  std::memcpy(&first_row, bytes.data() + 4, 4);
  auto aligned = reinterpret_cast<uintptr_t>(bytes.data()) % 8 == 0;
  if (!aligned || size % sizeof(capnp::word) != 0 || first_row % 64 != 0
      || first_row > bytes.size() || prefix + uint64_t{size} > first_row)
    return damaged("a prefix that makes no sense");
  auto* words = reinterpret_cast<const capnp::word*>(bytes.data() + prefix);
  try {
    return read_message(kj::arrayPtr(words, size / sizeof(capnp::word)),
                        bytes.subspan(first_row), row_bytes);
  } catch (const kj::Exception&) {
    return damaged("a message that cannot be read");
  }
}

} // namespace troupe
