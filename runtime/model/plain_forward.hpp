#pragma once

/// The plain path: one synchronous forward pass on one device, over the same
/// operations as the actors. `generate` on one device, `model verify`, and the
/// oracle of every distributed test.

#include "kernels/device.hpp"
#include "runtime/grammar/grammar_cache.hpp"
#include "runtime/model/forward.hpp"
#include "runtime/service.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace troupe {

struct plain_options {
  precision activations = precision::fp8;
  uint32_t max_model_len = 4096; ///< Prompt and answer; at most the model's.
  uint32_t chunk = 512;          ///< Prompt tokens per pass.
  uint32_t num_choices = 0;      ///< Ids that may be sampled; 0: all.
  uint32_t max_sequences = 1;    ///< Of `generate_together`.
  /// Of requests; null: none may have one.
  std::shared_ptr<grammar_cache> grammars = nullptr;
  /// Of all prompts, whoever wrote them; if empty, as forms_of_prompt says.
  std::optional<attention_form> prompt_form;
};

class plain_forward {
public:
  /// Loads all weights of `source` onto `dev`, which outlives this.
  static result<std::unique_ptr<plain_forward>>
  make(kernels::device& dev, const checkpoint& source,
       const plain_options& options, const load_progress& progress = {});

  ~plain_forward();

  const model_config& config() const;

  /// Positions that there is room for.
  uint32_t max_model_len() const;

  /// Everything that a golden file holds, for one prompt.
  struct trace {
    std::vector<float> logits;    ///< [T, vocab]
    std::vector<float> hidden;    ///< [layers + 2, T, hidden]
    std::vector<int32_t> experts; ///< [moe layers, T, top_k]
    std::vector<float> weights;   ///< [moe layers, T, top_k]
  };

  /// Runs `tokens` from position 0 and keeps everything. Errors as of
  /// `generate`.
  result<trace> run(const std::vector<int32_t>& tokens);

  /// Output of each layer when it is given `hidden[layer]` of a golden file:
  /// [layers, T, hidden].
  result<std::vector<float>> run_layers(const std::vector<int32_t>& tokens,
                                        const std::vector<float>& hidden);

  struct generation {
    std::vector<int32_t> tokens;
    std::vector<float> logits; ///< [tokens, vocab] if asked for.
    finish_reason finish = finish_reason::length;
    std::vector<token_score> scores; ///< As in generation_event; all of them.
    std::vector<token_score> prompt_scores;
  };

  /// Continues a prompt as the service would, token by token; `on_token` may
  /// be empty. Errors: invalid_input, context_too_long, step_failed.
  result<generation>
  generate(const generation_request& request,
           const std::function<void(int32_t)>& on_token = {});

  /// Continues prompts side by side, greedily and past end tokens, by
  /// `num_tokens` each: the prompts one after the other, then one step for
  /// every further token of all. `on_step` is called with the tokens of each
  /// step, in order of the prompts, first with those that follow the prompts.
  /// Errors as of `generate`.
  result<void> generate_together(
    const std::vector<std::vector<int32_t>>& prompts, uint32_t num_tokens,
    const std::function<void(const std::vector<int32_t>&)>& on_step);

private:
  struct impl;
  explicit plain_forward(std::unique_ptr<impl> impl);
  std::unique_ptr<impl> impl_;
};

} // namespace troupe
