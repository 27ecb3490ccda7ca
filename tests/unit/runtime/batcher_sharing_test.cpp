/// How the rows of a step are shared among prompts.

#include "tests/unit/runtime/batcher_fixture.hpp"

#include <algorithm>
#include <map>
#include <random>

using namespace troupe;

namespace {

using numbers = std::vector<uint32_t>;

class BatcherSharing : public batcher_fixture {};

} // namespace

TEST_F(BatcherSharing, AShortPromptIsThroughInTheNextStepOfALongOne) {
  make(4, 64, 2048, 64);
  batcher_->add(1, 1, request(1000, 1));
  auto rows = next_step_of(*batcher_);
  EXPECT_EQ(sizes(rows), numbers{64});
  batcher_->add(2, 1, request(3, 1));
  end(rows);
  rows = next_step_of(*batcher_);
  EXPECT_EQ(sizes(rows), (numbers{3, 61}));
  EXPECT_EQ(end(rows).at(0).request, 2u);
}

TEST_F(BatcherSharing, AShortPromptBehindManyLongOnesIsThroughAtOnce) {
  make(16, 64, 2048, 512);
  for (request_id id = 1; id <= 8; ++id)
    batcher_->add(id, 1, request(1000, 1));
  step();
  batcher_->add(9, 1, request(32, 1)); // half of a step
  EXPECT_EQ(sizes(next_step_of(*batcher_)), (numbers{32, 32}));
}

TEST_F(BatcherSharing, ShortPromptsThatKeepComingLeaveALongOneHalfOfEachStep) {
  make(16, 64, 2048, 512);
  batcher_->add(1, 1, request(1000, 1));
  step();
  request_id id = 2;
  for (uint32_t first = 64; first + 32 <= 1000; first += 32) {
    for (int i = 0; i < 3; ++i)
      batcher_->add(id++, 1, request(30, 1));
    auto rows = next_step_of(*batcher_);
    EXPECT_EQ(rows.num_rows(), 64u);
    EXPECT_EQ(rows.sequences.back().first_position, first);
    EXPECT_EQ(rows.sequences.back().tokens.size(), 32u);
    end(rows);
  }
}

TEST_F(BatcherSharing, LongPromptsOfOneLengthGoOneAfterTheOther) {
  make(4, 64, 2048, 64);
  for (request_id id = 1; id <= 3; ++id)
    batcher_->add(id, 1, request(160, 1));
  std::vector<numbers> steps;
  while (batcher_->num_waiting() + batcher_->num_running() > 0) {
    auto rows = next_step_of(*batcher_);
    steps.push_back(sizes(rows));
    end(rows);
  }
  EXPECT_EQ(steps, (std::vector<numbers>{
                     {64}, {64}, {32, 32}, {64}, {64}, {64}, {64}, {32}}));
}

TEST_F(BatcherSharing, APromptThatHasLessLeftPassesALongerOne) {
  make(4, 64, 8192, 256);
  batcher_->add(1, 1, request(4000, 1));
  batcher_->add(2, 1, request(200, 1));
  EXPECT_EQ(sizes(next_step_of(*batcher_)), (numbers{32, 32}));
}

namespace {

/// Random requests with room for all of them: only rows are scarce.
class queue {
public:
  explicit queue(uint64_t seed) : random_(seed) {
    options_.max_num_seqs = num_requests;
    options_.max_num_running = options_.max_num_seqs;
    options_.max_num_batched_tokens = num_requests + below(100);
    options_.max_model_len = 1024;
    options_.vocab_size = 1;
    batcher_ = std::make_unique<batcher>(options_, *cache_);
  }

  void run() {
    for (request_id id = 1; id <= num_requests; ++id) {
      add(id);
      for (auto n = below(8); n > 0; --n)
        step();
    }
    for (int i = 0; i < 20000 && !open_.empty(); ++i)
      step();
    EXPECT_TRUE(open_.empty());
  }

private:
  static constexpr uint32_t num_requests = 16;

  struct client {
    uint32_t num_answered = 0;
    uint64_t latest = 0; ///< Step in which its first token must come.
  };

  uint32_t below(uint32_t n) {
    return uint32_t(random_() % n);
  }

  void add(request_id id) {
    generation_request x;
    x.prompt.assign(below(3) > 0 ? below(20) + 1 : below(900) + 1, 0);
    x.max_tokens = below(50) + 1;
    x.ignore_eos = true;
    // At worst it waits for all that is there, half a step of rows at a time.
    missing_ += x.prompt.size();
    auto least = (options_.max_num_batched_tokens - num_requests + 2) / 2;
    open_[id].latest = num_steps_ + missing_ / least + open_.size() + 1;
    batcher_->add(id, 1, std::make_shared<generation_request>(std::move(x)));
  }

  void step() {
    auto rows = next_step_of(*batcher_);
    EXPECT_EQ(rows.num_rows(),
              std::min<uint64_t>(missing_, options_.max_num_batched_tokens));
    missing_ -= rows.num_rows();
    if (rows.num_rows() == 0)
      return;
    ++num_steps_;
    for (auto& x : batcher_->end_step(0, token_model::zeros(rows)))
      hear(x);
  }

  void hear(const batch_output& output) {
    auto& x = open_.at(output.request);
    if (x.num_answered++ == 0) {
      EXPECT_LE(num_steps_, x.latest) << "request " << output.request;
    }
    if (output.event.finish == finish_reason::none)
      ++missing_;
    else
      open_.erase(output.request);
  }

  std::mt19937_64 random_;
  batcher_options options_;
  std::unique_ptr<kernels::device> device_ = kernels::make_reference_device(0);
  std::unique_ptr<kv_pool> pool_ = make_token_pool(*device_, 512);
  std::unique_ptr<prefix_cache> cache_ = std::make_unique<prefix_cache>(*pool_,
                                                                        false);
  std::unique_ptr<batcher> batcher_;
  std::map<request_id, client> open_;
  uint64_t missing_ = 0; ///< Rows that all requests together wait for.
  uint64_t num_steps_ = 0;
};

} // namespace

TEST(BatcherProperty, StepsAreFullAndNobodyStarves) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    queue{seed}.run();
    if (HasFailure())
      return;
  }
}
