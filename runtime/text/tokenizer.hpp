#pragma once

/// Text to token ids and back: byte-level BPE, read from a tokenizer.json, with
/// the ids that Hugging Face tokenizers gives. Nothing is added before or after
/// the text; `first_id` says what the file would add.

#include "runtime/text/added_tokens.hpp"
#include "runtime/text/bpe.hpp"
#include "runtime/text/pre_tokenizer.hpp"

#include <filesystem>
#include <optional>
#include <span>
#include <unordered_map>

namespace troupe {

/// What becomes of added tokens that stand in a text, such as <think>.
enum class specials : uint8_t {
  plain,      ///< They are text like any other: what people typed.
  recognised, ///< They are tokens.
};

/// Immutable: any number of threads may use one.
class tokenizer {
public:
  /// Reads the file; io or not_found if it cannot be read.
  static result<tokenizer> load(const std::filesystem::path& tokenizer_json);

  /// The same from the content of the file, which is not trusted.
  static result<tokenizer> parse(std::string_view json);

  /// `text` (below 4 GiB) may be any bytes; U+FFFD takes the place of each
  /// maximal part that is not UTF-8. About linear in its length.
  std::vector<int32_t> encode(std::string_view text, specials mode) const;

  /// Valid UTF-8; ids that mean nothing give nothing.
  std::string decode(std::span<const int32_t> ids,
                     bool skip_special = false) const;

  /// The bytes that `id` stands for, maybe part of a character; empty if it
  /// means nothing.
  std::string_view bytes_of(int32_t id) const;

  /// The largest id that means something, plus one.
  uint32_t vocab_size() const {
    return static_cast<uint32_t>(bytes_.size());
  }

  /// Bytes of the longest token: a text has no fewer tokens than its bytes
  /// divided by this.
  size_t max_bytes() const {
    return max_bytes_;
  }

  /// `token` as the file writes it: "<think>", or "\u0120the" for " the".
  std::optional<int32_t> id_of(std::string_view token) const;

  /// Whether the file marks it special: begin and end of sentence, padding,
  /// but not <think>.
  bool is_special(int32_t id) const;

  /// Whether it is found in text before any merging.
  bool is_added(int32_t id) const;

  /// The token that the file's own template puts before a text.
  std::optional<int32_t> first_id() const {
    return first_id_;
  }

private:
  tokenizer(const tokenizer_file& file, pre_tokenizer pre, bpe merges);

  void encode_plain(std::string_view text, bpe::scratch& memory,
                    std::vector<int32_t>& ids) const;

  pre_tokenizer pre_tokenizer_;
  bpe bpe_;
  added_tokens added_;
  bool ignore_merges_;
  std::unordered_map<std::string, int32_t> ids_; // as the file writes them
  std::vector<std::string> bytes_;               // [vocab_size]
  std::vector<bool> special_;                    // [vocab_size]
  std::vector<bool> is_added_;                   // [vocab_size]
  std::optional<int32_t> first_id_;
  size_t max_bytes_ = 0;
};

} // namespace troupe
