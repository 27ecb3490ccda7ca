// Whatever arrives, leaves and fails, every request gets the tokens that it
// would get alone, each once and in order, and then its end.

#include "runtime/batching/batcher.hpp"
#include "tests/unit/runtime/batcher_fixture.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

using namespace troupe;

namespace {

struct client {
  generation_request what;
  generation_event expected;
  std::vector<int32_t> tokens;
  std::vector<token_score> scores;
  std::vector<token_score> prompt_scores;
  std::optional<generation_event> last;
};

/// One life of a batcher with random clients.
class life {
public:
  /// Answers of a crowded life are so long that blocks run out.
  life(uint64_t seed, bool is_crowded) : random_(seed), crowded_(is_crowded) {
    options_.max_num_seqs = crowded_ ? 4 : below(6) + 1;
    options_.max_num_running = options_.max_num_seqs;
    options_.max_num_batched_tokens = options_.max_num_seqs
                                      + (below(4) ? below(150) : below(5));
    options_.max_model_len = crowded_ ? 300 : below(300) + 20;
    options_.vocab_size = token_model::vocab_size;
    options_.num_choices = token_model::num_choices;
    options_.eos_token_ids = {token_model::eos};
    auto blocks = (options_.max_model_len + 63) / 64 + below(4);
    pool_ = make_token_pool(*device_, blocks);
    cache_ = std::make_unique<prefix_cache>(*pool_, below(4) > 0);
    batcher_ = std::make_unique<batcher>(options_, *cache_);
    failures_ = below(3) == 0;
    cancels_ = below(2) == 0;
  }

  uint64_t num_found() const {
    return batcher_->num_found();
  }

  uint64_t num_preemptions() const {
    return batcher_->num_preemptions();
  }

  void run() {
    auto num_clients = below(14) + 1;
    while (clients_.size() < num_clients || num_open_ > 0) {
      if (testing::Test::HasFailure())
        return;
      while (clients_.size() < num_clients && below(3) == 0)
        arrive();
      maybe_cancel();
      step();
    }
    EXPECT_EQ(batcher_->num_running() + batcher_->num_waiting(), 0u);
    EXPECT_EQ(cache_->num_available(), pool_->num_blocks());
    // A step has a row, and who is computed again has gained 64 tokens since
    // it was computed last: at most max_model_len rows for 64 tokens.
    EXPECT_LE(num_steps_, num_tokens_ * (1 + options_.max_model_len / 64));
  }

private:
  uint32_t below(uint32_t n) {
    return uint32_t(random_() % n);
  }

  void arrive() {
    auto id = request_id(clients_.size() + 1);
    client x;
    auto num_prompt = below(crowded_ ? 60 : options_.max_model_len - 1) + 1;
    x.what.prompt = beginning(num_prompt);
    while (x.what.prompt.size() < num_prompt)
      x.what.prompt.push_back(int32_t(below(token_model::num_choices)));
    x.what.cache_salt = below(8) == 0 ? "other" : "";
    x.what.priority = below(3) ? 0 : int32_t(below(5)) - 2;
    auto room = options_.max_model_len - num_prompt;
    x.what.max_tokens = crowded_ ? room - below(40)
                                 : std::min(below(room) + 1, below(60) + 1);
    x.what.ignore_eos = crowded_ || below(2) == 0;
    x.what.want_logits = below(4) == 0;
    x.what.sampling.temperature = float(below(3));
    x.what.sampling.top_k = below(5);
    x.what.sampling.seed = random_();
    if (below(3) == 0)
      penalise(x.what);
    x.what.num_scores = below(4);
    x.what.num_prompt_scores = below(4);
    x.expected = token_model::alone(x.what);
    num_tokens_ += num_prompt + x.what.max_tokens;
    ++num_open_;
    batcher_->add(id, uint32_t(id) + 100,
                  std::make_shared<generation_request>(x.what));
    clients_.emplace(id, std::move(x));
  }

  /// Often that of what somebody has said or heard before, at most `most`.
  std::vector<int32_t> beginning(uint32_t most) {
    std::vector<int32_t> out;
    if (clients_.empty() || below(2) == 0)
      return out;
    auto& of = clients_.at(below(uint32_t(clients_.size())) + 1);
    out = of.what.prompt;
    out.insert(out.end(), of.tokens.begin(), of.tokens.end());
    auto limit = below(2) ? most : below(most) + 1;
    out.resize(std::min<size_t>(out.size(), limit));
    return out;
  }

  void penalise(generation_request& x) {
    x.sampling.min_p = float(below(2)) / 4;
    x.sampling.repetition_penalty = 1 + float(below(3)) / 4;
    x.sampling.presence_penalty = float(below(3)) / 4;
    x.sampling.frequency_penalty = float(below(3)) / 8;
    if (below(2))
      x.sampling.biases = {{3, 1}, {7, -100}};
    if (below(2) && !crowded_)
      x.stop_ids = {2, 11};
    x.min_tokens = below(2) ? below(x.max_tokens) : 0;
  }

  void maybe_cancel() {
    if (!cancels_ || clients_.empty() || below(12) != 0)
      return;
    auto id = request_id(below(uint32_t(clients_.size())) + 1);
    auto was_open = !clients_.at(id).last;
    auto last = batcher_->cancel(id, uint32_t(id) + 100);
    ASSERT_EQ(last.has_value(), was_open) << "request " << id;
    if (last)
      hear(*last);
  }

  void step() {
    auto rows = next_step_of(*batcher_);
    EXPECT_LE(rows.num_rows(), options_.max_num_batched_tokens);
    EXPECT_LE(rows.sequences.size(), options_.max_num_seqs);
    EXPECT_LE(batcher_->num_running(), options_.max_num_seqs);
    EXPECT_EQ(rows.num_rows() > 0, num_open_ > 0) << "work, but no step";
    if (rows.num_rows() == 0)
      return;
    ++num_steps_;
    auto failed = failures_ && below(40) == 0;
    auto result = failed ? step_result{} : model_.run(rows);
    while (below(4) == 0)
      maybe_cancel();
    for (auto& x : failed ? batcher_->fail_step(0, {errc::step_failed, "no"})
                          : batcher_->end_step(0, std::move(result)))
      hear(x);
  }

  void hear(const batch_output& output) {
    auto& event = output.event;
    auto& x = clients_.at(output.request);
    EXPECT_EQ(output.term, output.request + 100);
    ASSERT_FALSE(x.last.has_value()) << "an event after the last";
    ASSERT_EQ(event.first_position, x.tokens.size());
    if (x.what.want_logits && !event.tokens.empty())
      check_logits(x, event);
    for (auto token : event.tokens)
      x.tokens.push_back(token);
    hear_scores(x, event);
    ASSERT_LE(x.tokens.size(), x.expected.tokens.size());
    EXPECT_TRUE(
      std::equal(x.tokens.begin(), x.tokens.end(), x.expected.tokens.begin()))
      << "request " << output.request << " got another's token";
    if (event.finish == finish_reason::none)
      return;
    x.last = event;
    --num_open_;
    EXPECT_EQ(event.finish == finish_reason::failed, event.cause.has_value());
    if (event.finish != finish_reason::failed) {
      EXPECT_EQ(event.finish, x.expected.finish);
      EXPECT_EQ(event.end_token, x.expected.end_token);
      EXPECT_EQ(x.tokens, x.expected.tokens);
      EXPECT_EQ(x.scores, x.expected.scores);
      EXPECT_EQ(x.prompt_scores, token_model::prompt_scores(x.what));
    }
  }

  /// However often a prompt was computed its scores come once.
  static void hear_scores(client& x, const generation_event& event) {
    x.scores.insert(x.scores.end(), event.scores.begin(), event.scores.end());
    auto& told = x.prompt_scores;
    if (event.prompt_scores.empty())
      return;
    ASSERT_EQ(told.size(), (event.first_scored - 1) * x.what.num_prompt_scores);
    told.insert(told.end(), event.prompt_scores.begin(),
                event.prompt_scores.end());
  }

  static void check_logits(const client& x, const generation_event& event) {
    auto before = x.what.prompt;
    before.insert(before.end(), x.tokens.begin(), x.tokens.end());
    EXPECT_EQ(event.logits, token_model::logits_after(before));
  }

  std::mt19937_64 random_;
  bool crowded_ = false;
  batcher_options options_;
  std::unique_ptr<kernels::device> device_ = kernels::make_reference_device(0);
  std::unique_ptr<kv_pool> pool_;
  std::unique_ptr<prefix_cache> cache_;
  std::unique_ptr<batcher> batcher_;
  token_model model_;
  std::map<request_id, client> clients_;
  bool failures_ = false;
  bool cancels_ = false;
  uint32_t num_open_ = 0;
  uint64_t num_steps_ = 0;
  uint64_t num_tokens_ = 0;
};

} // namespace

TEST(BatcherProperty, EveryRequestGetsWhatItWouldGetAlone) {
  uint64_t num_preemptions = 0;
  uint64_t num_found = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    life x{seed, seed % 10 == 0};
    x.run();
    num_preemptions += x.num_preemptions();
    num_found += x.num_found();
    if (HasFailure())
      return;
  }
  EXPECT_GT(num_found, 1'000u) << "too little was found";
  EXPECT_GT(num_preemptions, 20u) << "too few were computed again";
}
