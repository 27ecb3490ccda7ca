#pragma once

/// A model as several nodes of one process hold it: opened once, each of its
/// parts loaded once, on one device, and never changed. A node that is alone
/// has one to itself.

#include "kernels/device.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/grammar/grammar_cache.hpp"
#include "runtime/model/weights.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

namespace troupe {

/// Logical experts by MoE layer and slot.
using expert_lists = std::vector<std::vector<uint32_t>>;

/// Thread-safe: who wants what another one is loading waits for it.
class shared_model {
public:
  /// Opens `model_dir`; weights will lie on `home`. `config` is what its
  /// config.json said, if somebody has read it before. Errors: what the
  /// checkpoint says, that of config.json included.
  static result<std::shared_ptr<shared_model>>
  open(const std::string& model_dir, std::shared_ptr<kernels::device> home,
       std::shared_ptr<const model_config> config = nullptr);

  const checkpoint& source() const {
    return source_;
  }

  const model_config& config() const {
    return *source_.config();
  }

  /// See settings_of. Errors: io.
  result<std::string> settings(precision activations);

  /// What is known of the tokens. Errors: io, invalid_input.
  struct token_facts {
    /// Ids that may be sampled: those beyond the tokenizer's have rows in the
    /// head, but are never meant.
    uint32_t num_choices = 0;
    /// Of requests; null if there is no tokenizer.
    std::shared_ptr<grammar_cache> grammars;
  };

  result<token_facts> tokens();

  /// See load_attention_weights and load_expert_shard; what is there already
  /// makes no progress. An expert that several shards hold is there once.
  result<std::shared_ptr<const attention_weights>>
  attention(precision activations, uint32_t max_model_len,
            const load_progress& progress, const std::stop_token& stop);
  result<std::shared_ptr<const expert_shard>>
  experts(precision activations, const expert_lists& which,
          const load_progress& progress, const std::stop_token& stop);

  /// One expert by itself, as somebody has it already, or loaded now and then
  /// proven: what it makes of a row is computed from a second reading as well,
  /// and is the same to the bit. It is let go with its last owner. Errors:
  /// likewise; step_failed, if it is not the same.
  struct lent_expert {
    kernels::expert_weights weights;
    std::shared_ptr<const expert_shard> owner;
    bool is_new = false; ///< It was loaded.
  };

  result<lent_expert> expert(precision activations, uint32_t moe_layer,
                             uint32_t expert, const std::stop_token& stop);

  /// Of all tensors; see digest_model.
  result<digest_table> digests(const std::stop_token& stop);

private:
  /// An expert, and who owns its memory.
  struct packed_expert {
    kernels::expert_weights weights;
    std::shared_ptr<const expert_shard> owner;
  };

  using packed_experts
    = std::map<std::pair<uint32_t, uint32_t>, packed_expert>; ///< Layer, id.

  result<std::shared_ptr<const expert_shard>>
  load_alone(precision activations, uint32_t moe_layer, uint32_t expert,
             const std::stop_token& stop);
  result<void> pack_missing(precision activations, const expert_lists& which,
                            packed_experts& packed,
                            const load_progress& progress,
                            const std::stop_token& stop);

  shared_model(checkpoint source, std::shared_ptr<kernels::device> home);

  const checkpoint source_;
  const std::shared_ptr<kernels::device> home_;
  std::mutex mutex_; ///< For what follows.
  std::map<precision, std::string> settings_;
  token_facts tokens_; ///< num_choices 0: not read yet.
  std::map<std::pair<precision, uint32_t>,
           std::shared_ptr<const attention_weights>>
    attention_;
  std::map<precision, packed_experts> experts_;
  /// Those that came by themselves, each alone in its shard: layer, id.
  std::map<std::tuple<precision, uint32_t, uint32_t>,
           std::weak_ptr<const expert_shard>>
    guests_;
  digest_table digests_; ///< Empty: not made yet.
};

} // namespace troupe
