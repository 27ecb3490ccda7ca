#pragma once

/// Fields of a JSON object, read with a range each: of a checkpoint's files
/// and of requests. The first field that is wrong is kept; what is read after
/// it is of no account. A field that is null counts as absent. A reader
/// remembers which fields it was asked for, so that others can be refused.

#include "runtime/error.hpp"
#include "runtime/json/strict_json.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// A field that may hold anything, and why that changes no result.
struct harmless_key {
  std::string_view name;
  std::string_view why;
};

enum class field_fault : uint8_t { type, value, missing, unsupported };

/// What is wrong with a field, for those who have their own words for it.
struct field_trouble {
  std::string path; ///< "rope_scaling.factor", "messages[2].content"
  std::string why;  ///< "must be a number from 1 to 8"
  field_fault fault;
};

class field_reader {
public:
  /// A field of an object; no value if it is no integer below 2^32.
  struct named_number {
    std::string name;
    std::optional<uint32_t> value;
  };

  /// Parses `text`, which has to be a JSON object. `what` stands in errors,
  /// e.g. "config.json". Error: invalid_input.
  static result<field_reader> parse(std::string what, std::string_view text,
                                    const json_limits& limits = {});

  ~field_reader();
  field_reader(field_reader&&) noexcept;

  /// Returns whether the field is there and not null.
  bool has(std::string_view name) const;
  /// Returns whether the field is an object.
  bool has_object(std::string_view name) const;

  /// The field, for what no function below can read; null if it is absent. It
  /// lives as long as any reader of the same text.
  const nlohmann::json* find(std::string_view name) const;

  uint32_t integer(std::string_view name, uint32_t least, uint32_t most);
  uint32_t integer_or(std::string_view name, uint32_t least, uint32_t most,
                      uint32_t otherwise);
  /// An integer, if the field is there.
  std::optional<uint64_t> whole(std::string_view name, uint64_t least,
                                uint64_t most);
  /// Likewise, of either sign.
  std::optional<int64_t> signed_whole(std::string_view name, int64_t least,
                                      int64_t most);
  /// A finite number in [least, most].
  double number(std::string_view name, double least, double most);
  double number_or(std::string_view name, double least, double most,
                   double otherwise);
  bool boolean_or(std::string_view name, bool otherwise);
  /// A string without U+0000.
  std::string text_or(std::string_view name, std::string_view otherwise);
  /// An integer or a list of at most `max_count` of them.
  std::vector<int32_t> integers(std::string_view name, int32_t least,
                                int32_t most, size_t max_count);
  /// A list of exactly one string.
  std::string only_text(std::string_view name);
  /// The object in a field; its errors are told by the object itself.
  std::optional<field_reader> object(std::string_view name);

  /// A string that has to be there.
  std::string text(std::string_view name);
  /// A list of at most `max_count` strings; empty if it is not there.
  std::vector<std::string> texts(std::string_view name, size_t max_count);
  /// A list of at most `max_count` objects; empty if it is not there.
  std::vector<field_reader> objects(std::string_view name, size_t max_count);
  /// All fields of an object that has to be there.
  std::vector<named_number> numbers(std::string_view name);
  /// A list that has to be there; each item is a string or a list of strings,
  /// or else an empty list.
  std::vector<std::vector<std::string>> word_lists(std::string_view name);
  /// The names of all fields, sorted.
  std::vector<std::string> names() const;

  /// Refuses what is neither null nor `value` (as JSON writes it), which is
  /// what it means if the field is not there.
  void must_be(std::string_view name, std::string_view value);

  /// Refuses the first field that is not null, that nobody has asked for and
  /// that is not among `harmless`. To be called when all is read.
  void refuse_unknown(std::span<const harmless_key> harmless);
  /// The string `x`, which lies at `path` somewhere within this object.
  std::string text_at(const nlohmann::json& x, std::string_view path);
  /// A reader of the object `x`, likewise.
  field_reader within(const nlohmann::json& x, std::string_view path) const;

  /// Says that `name` is wrong: "<what>: <name> <why>".
  void refuse(std::string_view name, std::string why,
              field_fault fault = field_fault::value);

  /// Takes over the trouble of an object within this one.
  void absorb(const field_reader& inner);

  /// Empty: all is well so far.
  const std::string& trouble() const;

  /// The same in parts.
  const std::optional<field_trouble>& first_trouble() const;

private:
  struct impl;
  explicit field_reader(std::unique_ptr<impl> impl);
  std::unique_ptr<impl> impl_;
};

} // namespace troupe
