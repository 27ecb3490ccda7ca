/// How companies end while requests are open: everyone hears of it.

#include "tests/cluster/company_fixture.hpp"

namespace troupe {

namespace {

company_options busy_company() {
  company_options out;
  out.cluster = single_process(2, 4);
  out.cluster.max_model_len = 512;
  out.cluster.limits.num_kv_blocks = 256;
  out.model_dir = nano_model();
  return out;
}

std::unique_ptr<company> started(company_options options) {
  auto made = company::start(std::move(options));
  EXPECT_TRUE(made) << made.why().message;
  auto ready = (*made)->wait_until_ready(std::chrono::seconds{60});
  EXPECT_TRUE(ready) << ready.why().message;
  return std::move(*made);
}

void submit_all(company& to, size_t count, listener& ears) {
  for (uint32_t i = 0; i < count; ++i) {
    auto request = request_for(random_prompt(i, 20 + i), 400, i);
    request.want_logits = false;
    auto id = to.submit(request, ears.handler(i));
    ASSERT_TRUE(id) << id.why().message;
  }
}

void expect_ends(listener& ears, errc code, const std::string& why) {
  for (auto& x : ears.wait()) {
    EXPECT_EQ(x.finish, finish_reason::failed);
    ASSERT_TRUE(x.cause);
    EXPECT_EQ(x.cause->code, code);
    EXPECT_EQ(x.cause->message, why);
  }
}

TEST(CompanyEnds, EveryOpenRequestBeforeItIsGone) {
  constexpr size_t count = 24;
  for (size_t round = 0; round < 10; ++round) {
    listener ears{count};
    auto x = started(busy_company());
    ASSERT_NO_FATAL_FAILURE(submit_all(*x, count, ears));
    ears.wait_for_tokens(1 + 17 * round);
    x.reset();
    EXPECT_EQ(ears.num_finished(), count) << "all, before it is gone";
    expect_ends(ears, errc::cancelled, "the service has ended");
  }
}

TEST(CompanyEnds, TakingRequestsWhenItIsClosed) {
  constexpr size_t count = 8;
  listener ears{count};
  auto x = started(busy_company());
  EXPECT_FALSE(x->trouble());
  ASSERT_NO_FATAL_FAILURE(submit_all(*x, count, ears));
  ears.wait_for_tokens(20);
  x->close({errc::cancelled, "the curtain falls"});
  EXPECT_EQ(ears.num_finished(), count);
  expect_ends(ears, errc::cancelled, "the curtain falls");
  auto refused = x->submit(request_for(random_prompt(1, 5), 4, 0),
                           [](auto&) { FAIL() << "it was not accepted"; });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.why().code, errc::cancelled);
  EXPECT_EQ(refused.why().message, "the curtain falls");
  EXPECT_EQ(x->trouble(), "the curtain falls");
  EXPECT_EQ(x->stats().requests_cancelled, count);
}

TEST(CompanyEnds, WhoHasHeardEnoughCountsAsFinished) {
  auto x = started(busy_company());
  for (bool enough : {true, false}) {
    listener ears{1};
    auto request = request_for(random_prompt(1, 20), 400, 0);
    request.want_logits = false;
    auto id = x->submit(request, ears.handler(0));
    ASSERT_TRUE(id) << id.why().message;
    ears.wait_for_tokens(1);
    if (enough)
      x->enough(*id);
    x->cancel(*id);
    for (auto& heard : ears.wait())
      EXPECT_EQ(heard.finish, finish_reason::failed);
    EXPECT_EQ(x->stats().requests_finished, 1u);
    EXPECT_EQ(x->stats().requests_cancelled, enough ? 0u : 1u);
  }
}

} // namespace

} // namespace troupe
