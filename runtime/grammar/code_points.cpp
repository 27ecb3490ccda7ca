#include "runtime/grammar/code_points.hpp"

#include <algorithm>
#include <array>

namespace troupe {

namespace {

constexpr code_range surrogates{0xd800, 0xdfff};

byte_set bytes_between(uint32_t first, uint32_t last) {
  byte_set out;
  for (auto x = first; x <= last; ++x)
    out.set(x);
  return out;
}

/// Bytes of a character of `length` bytes.
std::array<uint32_t, 4> utf8_of(uint32_t x, uint32_t length) {
  constexpr uint32_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
  std::array<uint32_t, 4> out = {};
  for (auto i = length; i-- > 1; x >>= 6)
    out[i] = 0x80 | (x & 0x3f);
  out[0] = leads[length] | x;
  return out;
}

/// Of characters of `length` bytes: cut until all bytes but one first part are
/// whole ranges.
void add_range(code_range x, uint32_t length, std::vector<expression_ptr>& to) {
  for (uint32_t i = 1; i < length; ++i) {
    uint32_t low = (1u << (6 * i)) - 1; // of the last i bytes
    if ((x.first & ~low) == (x.last & ~low))
      continue;
    if ((x.first & low) != 0) {
      add_range({x.first, x.first | low}, length, to);
      return add_range({(x.first | low) + 1, x.last}, length, to);
    }
    if ((x.last & low) != low) {
      add_range({x.first, (x.last & ~low) - 1}, length, to);
      return add_range({x.last & ~low, x.last}, length, to);
    }
  }
  auto first = utf8_of(x.first, length);
  auto last = utf8_of(x.last, length);
  std::vector<expression_ptr> parts;
  for (uint32_t i = 0; i < length; ++i)
    parts.push_back(one_of(bytes_between(first[i], last[i])));
  to.push_back(in_sequence(std::move(parts)));
}

std::string escaped(uint32_t x) {
  constexpr std::string_view short_ones = "\"\"\\\\b\bf\fn\nr\rt\t";
  for (size_t i = 0; i < short_ones.size(); i += 2)
    if (static_cast<unsigned char>(short_ones[i + 1]) == x)
      return {'\\', short_ones[i]};
  constexpr auto digits = "0123456789abcdef";
  return std::string{"\\u00"} + digits[x / 16] + digits[x % 16];
}

} // namespace

code_set::code_set(std::initializer_list<code_range> ranges) {
  for (auto& x : ranges)
    add(x);
}

void code_set::add(code_range x) {
  auto touches = [&](auto& y) {
    return y.first <= x.last + 1 && x.first <= y.last + 1;
  };
  for (auto& y : ranges_)
    if (touches(y)) {
      x.first = std::min(x.first, y.first);
      x.last = std::max(x.last, y.last);
    }
  std::erase_if(ranges_, touches);
  ranges_.insert(
    std::ranges::upper_bound(ranges_, x.first, {}, &code_range::first), x);
}

void code_set::add(const code_set& all) {
  for (auto& x : all.ranges_)
    add(x);
}

bool code_set::has(uint32_t x) const {
  return std::ranges::any_of(
    ranges_, [=](auto& y) { return y.first <= x && x <= y.last; });
}

code_set code_set::others() const {
  code_set out;
  uint32_t next = 0;
  for (auto& x : ranges_) {
    if (x.first > next)
      out.add({next, x.first - 1});
    next = x.last + 1;
  }
  if (next <= last_code_point)
    out.add({next, last_code_point});
  return out;
}

expression_ptr in_utf8(const code_set& x) {
  constexpr code_range lengths[] = {{0, 0x7f},
                                    {0x80, 0x7ff},
                                    {0x800, surrogates.first - 1},
                                    {surrogates.last + 1, 0xffff},
                                    {0x10000, last_code_point}};
  byte_set plain;
  std::vector<expression_ptr> parts;
  for (auto& range : x.ranges())
    for (auto& of : lengths) {
      auto first = std::max(range.first, of.first);
      auto last = std::min(range.last, of.last);
      if (first > last)
        continue;
      if (of.last <= 0x7f)
        plain |= bytes_between(first, last);
      else
        add_range({first, last},
                  of.last <= 0x7ff    ? 2
                  : of.last <= 0xffff ? 3
                                      : 4,
                  parts);
    }
  if (plain.any())
    parts.insert(parts.begin(), one_of(plain));
  return choice_of(std::move(parts));
}

expression_ptr in_json_string(const code_set& x) {
  static const code_set coded{{0, 0x1f}, {'"', '"'}, {'\\', '\\'}};
  std::vector<expression_ptr> parts;
  auto others = x.others();
  others.add(coded);
  parts.push_back(in_utf8(others.others()));
  for (auto& range : coded.ranges())
    for (auto c = range.first; c <= range.last; ++c)
      if (x.has(c))
        parts.push_back(literal(escaped(c)));
  return choice_of(std::move(parts));
}

expression_ptr speller::operator()(const code_set& x) {
  auto& out = known_[x.ranges()];
  if (!out)
    out = how_(x);
  return out;
}

std::optional<uint32_t> take_code_point(std::string_view& text) {
  if (text.empty())
    return std::nullopt;
  auto lead = static_cast<unsigned char>(text[0]);
  size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  length = std::min(length, text.size());
  uint32_t out = length == 1 ? lead : lead & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i)
    out = out << 6 | (static_cast<unsigned char>(text[i]) & 0x3f);
  text.remove_prefix(length);
  return out;
}

} // namespace troupe
