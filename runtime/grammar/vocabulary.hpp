#pragma once

/// The texts of all tokens as a tree of bytes, so that what a grammar says of a
/// beginning is asked once for all tokens that have it.

#include "runtime/text/tokenizer.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// Ids that may be chosen, one bit each.
using id_bits = std::vector<uint64_t>;

/// Immutable: any number of threads may use one.
class vocabulary {
public:
  /// Of the ids below `num_choices`; what means nothing is left out.
  vocabulary(const tokenizer& tokens, uint32_t num_choices);

  /// A beginning of some token. Nodes are in order of depth first, so that
  /// those below one follow it.
  struct node {
    uint32_t end = 0;         ///< Behind the last one below this.
    uint32_t first_token = 0; ///< In tokens(): its own, then those below.
    uint16_t groups = 0;      ///< Of all bytes below this, see group_of.
    uint8_t byte = 0;         ///< The last one.
    uint8_t depth = 0;        ///< Bytes before it.
  };

  std::span<const node> nodes() const {
    return nodes_;
  }

  /// Ids in the order of the nodes.
  std::span<const int32_t> tokens() const {
    return tokens_;
  }

  /// Place in tokens() of the first that belongs to no node before `i`.
  uint32_t tokens_before(uint32_t i) const {
    return i < nodes_.size() ? nodes_[i].first_token
                             : static_cast<uint32_t>(tokens_.size());
  }

  /// Tokens that are no text but marks, such as </think>.
  const std::vector<std::pair<std::string, int32_t>>& marks() const {
    return marks_;
  }

  /// What `id` stands for; empty if it cannot be chosen. Of a mark: its name.
  std::string_view text_of(int32_t id) const;
  bool is_mark(int32_t id) const;

  uint32_t num_choices() const {
    return num_choices_;
  }

  /// Of the longest text.
  uint32_t max_bytes() const {
    return max_bytes_;
  }

  /// Bytes that grammars tend to treat alike, in 16 groups.
  static uint8_t group_of(uint8_t byte);

private:
  void add_nodes();

  uint32_t num_choices_;
  uint32_t max_bytes_ = 0;
  std::vector<node> nodes_;
  std::vector<int32_t> tokens_;
  std::vector<std::string> texts_; ///< By id.
  std::vector<std::pair<std::string, int32_t>> marks_;
};

} // namespace troupe
