#pragma once

/// Runs prompts through a company of actors and through the plain path, the
/// oracle: tokens and logits have to be equal, bit for bit.

#include "actors/company.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/model/plain_forward.hpp"
#include "tests/places.hpp"

#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace troupe {

struct answer {
  std::vector<int32_t> tokens;
  std::vector<float> logits;
  finish_reason finish = finish_reason::none;
  std::optional<failure> cause;
  std::vector<token_score> scores = {};
  std::vector<token_score> prompt_scores = {};
  uint32_t num_cached = 0; ///< Tokens of the prompt.
};

inline std::filesystem::path nano_model() {
  return source_dir() / "examples/nano/model";
}

/// A prompt of this length over the ids of the nano model's words.
inline std::vector<int32_t> random_prompt(uint32_t seed, size_t length) {
  std::mt19937 rng{seed};
  std::vector<int32_t> out{0};
  while (out.size() < length)
    out.push_back(static_cast<int32_t>(3 + rng() % 1800));
  return out;
}

/// Greedy with seed 0, else sampled.
inline generation_request request_for(std::vector<int32_t> prompt,
                                      uint32_t max_tokens, uint64_t seed) {
  generation_request out;
  out.prompt = std::move(prompt);
  out.max_tokens = max_tokens;
  out.sampling.temperature = seed == 0 ? 0.f : 0.8f;
  out.sampling.top_p = seed == 0 ? 1.f : 0.95f;
  out.sampling.seed = seed;
  out.ignore_eos = true;
  out.want_logits = true;
  return out;
}

/// The requests that every variant has to answer alike.
inline std::vector<generation_request> reference_requests() {
  auto penalised = request_for(random_prompt(5, 70), 8, 11);
  auto& how = penalised.sampling;
  how.temperature = 1.5f;
  how.min_p = 0.01f;
  how.repetition_penalty = 1.3f;
  how.presence_penalty = 0.5f;
  how.frequency_penalty = 0.25f;
  how.biases = {{5, 4}, {900, -100}};
  penalised.min_tokens = 8;
  penalised.stop_ids = {5, 6};
  penalised.num_scores = 6;
  auto scored = request_for(random_prompt(6, 150), 3, 0);
  scored.num_scores = 1;
  scored.num_prompt_scores = 3;
  auto object = request_for(random_prompt(7, 40), 24, 13);
  object.grammar = {grammar_kind::json_schema,
                    R"({"type": "object", "properties": {
                        "n": {"type": "string", "maxLength": 9},
                        "k": {"enum": [true, "x"]}}, "required": ["n"]})"};
  object.sampling.frequency_penalty = 0.5f;
  object.ignore_eos = false;
  object.num_scores = 2;
  auto number = request_for(random_prompt(8, 66), 30, 0);
  number.grammar = {grammar_kind::regex, "[0-9]{3}(-[a-z]{2}){2}"};
  return {object,
          number,
          request_for(random_prompt(1, 5), 8, 0),
          request_for(random_prompt(2, 63), 6, 0),
          request_for(random_prompt(3, 130), 5, 7),
          request_for(random_prompt(4, 200), 4, 9),
          penalised,
          scored};
}

/// Collects the events of requests, in whatever order they come.
class listener {
public:
  explicit listener(size_t num_requests) : answers_(num_requests) {
  }

  event_handler handler(size_t i) {
    return [this, i](const generation_event& event) {
      std::lock_guard lock{mutex_};
      auto& x = answers_[i];
      EXPECT_EQ(x.finish, finish_reason::none) << "an event after the last one";
      EXPECT_EQ(event.first_position, x.tokens.size());
      x.tokens.insert(x.tokens.end(), event.tokens.begin(), event.tokens.end());
      x.logits.insert(x.logits.end(), event.logits.begin(), event.logits.end());
      x.scores.insert(x.scores.end(), event.scores.begin(), event.scores.end());
      x.prompt_scores.insert(x.prompt_scores.end(), event.prompt_scores.begin(),
                             event.prompt_scores.end());
      x.num_cached += event.num_cached;
      num_tokens_ += event.tokens.size();
      if (event.finish != finish_reason::none) {
        x.finish = event.finish;
        x.cause = event.cause;
        ++num_finished_;
      }
      changed_.notify_all();
    };
  }

  /// Waits for the ends of all requests.
  std::vector<answer> wait() {
    std::unique_lock lock{mutex_};
    changed_.wait_for(lock, deadline,
                      [this] { return num_finished_ == answers_.size(); });
    EXPECT_EQ(num_finished_, answers_.size());
    return answers_;
  }

  /// Without waiting.
  size_t num_finished() {
    std::lock_guard lock{mutex_};
    return num_finished_;
  }

  /// Waits until at least so many tokens have come.
  void wait_for_tokens(size_t count) {
    std::unique_lock lock{mutex_};
    changed_.wait_for(lock, deadline,
                      [=, this] { return num_tokens_ >= count; });
    EXPECT_GE(num_tokens_, count);
  }

private:
  static constexpr std::chrono::seconds deadline{120};

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<answer> answers_;
  size_t num_finished_ = 0;
  size_t num_tokens_ = 0;
};

/// Submits everything at once and waits for all answers.
inline std::vector<answer>
ask_all(service& company, const std::vector<generation_request>& requests) {
  listener ears{requests.size()};
  for (size_t i = 0; i < requests.size(); ++i) {
    auto id = company.submit(requests[i], ears.handler(i));
    EXPECT_TRUE(id) << id.why().message;
  }
  return ears.wait();
}

/// What the plain path answers.
inline std::vector<answer>
ask_plain(const std::filesystem::path& model, precision activations,
          const std::vector<generation_request>& requests,
          uint32_t num_choices = 1859) { // the nano tokenizer's
  kernels::cpu_options cpu;
  auto dev = kernels::make_cpu_device(cpu);
  auto source = checkpoint::open(model);
  plain_options options;
  options.activations = activations;
  options.max_model_len = 512;
  options.num_choices = num_choices;
  if (auto words = tokenizer::load(model / "tokenizer.json"))
    options.grammars = std::make_shared<grammar_cache>(
      std::make_shared<const vocabulary>(*words, num_choices));
  auto plain = plain_forward::make(*dev, *source, options);
  EXPECT_TRUE(plain) << plain.why().message;
  std::vector<answer> out;
  for (auto& request : requests) {
    auto x = (*plain)->generate(request);
    EXPECT_TRUE(x) << x.why().message;
    out.push_back({x->tokens, x->logits, x->finish, std::nullopt, x->scores,
                   x->prompt_scores});
  }
  return out;
}

/// The first answers of `got` are those of `want`.
inline void expect_equal(const std::vector<answer>& got,
                         const std::vector<answer>& want) {
  ASSERT_GE(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_FALSE(got[i].cause) << got[i].cause->message;
    EXPECT_EQ(got[i].tokens, want[i].tokens) << "request " << i;
    EXPECT_EQ(got[i].finish, want[i].finish) << "request " << i;
    EXPECT_EQ(got[i].scores, want[i].scores) << "request " << i;
    EXPECT_EQ(got[i].prompt_scores, want[i].prompt_scores) << "request " << i;
    ASSERT_EQ(got[i].logits.size(), want[i].logits.size()) << "request " << i;
    if (want[i].logits.empty())
      continue; // memcmp takes no null pointers, not even of nothing
    EXPECT_EQ(std::memcmp(got[i].logits.data(), want[i].logits.data(),
                          got[i].logits.size() * sizeof(float)),
              0)
      << "logits of request " << i;
  }
}

} // namespace troupe
