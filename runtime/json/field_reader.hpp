#pragma once

/// Fields of a JSON object, read with a range each. The first field that is
/// wrong is kept; what is read after it is of no account.

#include "runtime/error.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

class field_reader {
public:
  /// Parses `text`, which has to be a JSON object. `what` stands in errors,
  /// e.g. "config.json". Error: invalid_input.
  static result<field_reader> parse(std::string what, std::string_view text);

  ~field_reader();
  field_reader(field_reader&&) noexcept;

  /// Returns whether the field is there and not null.
  bool has(std::string_view name) const;

  uint32_t integer(std::string_view name, uint32_t least, uint32_t most);
  uint32_t integer_or(std::string_view name, uint32_t least, uint32_t most,
                      uint32_t otherwise);
  /// A finite number in [least, most].
  double number(std::string_view name, double least, double most);
  double number_or(std::string_view name, double least, double most,
                   double otherwise);
  bool boolean_or(std::string_view name, bool otherwise);
  std::string text_or(std::string_view name, std::string_view otherwise);
  /// An integer or a list of at most `max_count` of them.
  std::vector<int32_t> integers(std::string_view name, int32_t least,
                                int32_t most, size_t max_count);
  /// A list of exactly one string.
  std::string only_text(std::string_view name);
  /// The object in a field; its errors are told by the object itself.
  std::optional<field_reader> object(std::string_view name);

  /// Says that `name` is wrong: "<what>: <name> <why>".
  void refuse(std::string_view name, const std::string& why);

  /// Takes over the trouble of an object within this one.
  void absorb(const field_reader& inner);

  /// Empty: all is well so far.
  const std::string& trouble() const;

private:
  struct impl;
  explicit field_reader(std::unique_ptr<impl> impl);
  std::unique_ptr<impl> impl_;
};

} // namespace troupe
