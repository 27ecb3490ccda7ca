#include "runtime/model/plain_forward.hpp"

#include "kernels/reference/operations.hpp"
#include "runtime/sampling.hpp"
#include "tests/edited_model.hpp"

#include <gtest/gtest.h>

#include <set>

namespace troupe {
namespace {

class PlainForward : public testing::Test {
protected:
  std::unique_ptr<plain_forward> load(const std::filesystem::path& dir,
                                      const plain_options& options) {
    auto source = checkpoint::open(dir);
    EXPECT_TRUE(source) << source.why().message;
    auto out = plain_forward::make(*dev_, *source, options);
    EXPECT_TRUE(out) << out.why().message;
    return std::move(*out);
  }

  std::unique_ptr<plain_forward> load(uint32_t max_model_len = 64,
                                      uint32_t num_choices = 0) {
    plain_options options;
    options.max_model_len = max_model_len;
    options.num_choices = num_choices;
    return load(golden_case("v3-fp8"), options);
  }

  generation_request greedy(std::vector<int32_t> prompt, uint32_t max_tokens) {
    generation_request out;
    out.prompt = std::move(prompt);
    out.max_tokens = max_tokens;
    out.sampling.temperature = 0;
    out.ignore_eos = true;
    return out;
  }

  std::unique_ptr<kernels::device> dev_ = kernels::make_reference_device(0);
};

TEST_F(PlainForward, GivesTokensOneByOneWithTheirLogits) {
  auto engine = load();
  auto request = greedy({5, 6, 7}, 4);
  request.want_logits = true;
  std::vector<int32_t> heard;
  auto out = engine->generate(request,
                              [&](int32_t id) { heard.push_back(id); });
  ASSERT_TRUE(out) << out.why().message;
  EXPECT_EQ(out->tokens.size(), 4u);
  EXPECT_EQ(out->tokens, heard);
  EXPECT_EQ(out->finish, finish_reason::length);
  ASSERT_EQ(out->logits.size(), 4u * 256);
  for (size_t i = 0; i < 4; ++i) {
    auto row = out->logits.begin() + static_cast<ptrdiff_t>(i * 256);
    EXPECT_EQ(std::max_element(row, row + 256) - row, out->tokens[i]);
  }
}

TEST_F(PlainForward, DrawsWhatTheDefinitionChoosesFromTheLogits) {
  dev_ = kernels::make_cpu_device({});
  auto engine = load();
  auto request = greedy({5, 6, 7}, 50);
  request.want_logits = true;
  request.sampling
    = {.temperature = 2, .top_p = 0.9f, .top_k = 100, .seed = 11};
  auto out = engine->generate(request);
  ASSERT_TRUE(out) << out.why().message;
  ASSERT_EQ(out->tokens.size(), 50u);
  std::set<int32_t> seen;
  for (uint32_t i = 0; i < 50; ++i) {
    auto draw = draw_of(request.sampling, 256, i);
    EXPECT_EQ(out->tokens[i], kernels::reference::choose(
                                out->logits.data() + size_t{i} * 256, draw))
      << "position " << i;
    seen.insert(out->tokens[i]);
  }
  EXPECT_GT(seen.size(), 10u);
}

TEST_F(PlainForward, DecodesToTheBitsThatPrefillGives) {
  auto engine = load();
  auto request = greedy({5, 6, 7}, 4);
  request.want_logits = true;
  auto out = *engine->generate(request);
  std::vector<int32_t> all{5, 6, 7};
  all.insert(all.end(), out.tokens.begin(), out.tokens.end() - 1);
  auto whole = *engine->run(all);
  std::vector<float> last(whole.logits.begin() + 2 * 256, whole.logits.end());
  EXPECT_EQ(last, out.logits);
}

TEST_F(PlainForward, RemembersATurnToTheBitsWithWhichItWasSaid) {
  auto engine = load(256);
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < 140; ++i)
    prompt.push_back(3 + i * 37 % 250);
  auto first = greedy(prompt, 12);
  using enum segment_author;
  first.segments = {{137, given}, {3, generated}};
  first.want_logits = true;
  auto said = *engine->generate(first);
  auto vocab = ptrdiff_t(engine->config().vocab_size);
  for (uint32_t n = 1; n < 12; n += 3) {
    auto next = greedy(prompt, 1);
    next.prompt.insert(next.prompt.end(), said.tokens.begin(),
                       said.tokens.begin() + int(n));
    next.segments = {{137, given}, {3 + n, generated}};
    next.want_logits = true;
    auto row = said.logits.begin() + int(n) * vocab;
    EXPECT_EQ(engine->generate(next)->logits,
              (std::vector<float>{row, row + vocab}))
      << n;
    next.segments = {};
    EXPECT_NE(engine->generate(next)->logits,
              (std::vector<float>{row, row + vocab}))
      << "one given segment has other bits: the test can fail";
  }
}

TEST_F(PlainForward, ContinuesPromptsTogetherAsItWouldOneByOne) {
  plain_options options;
  options.max_model_len = 64;
  options.chunk = 2; // fewer rows than sequences
  options.max_sequences = 3;
  auto engine = load(golden_case("v3-fp8"), options);
  std::vector<std::vector<int32_t>> prompts
    = {{5, 6, 7}, {9}, {1, 2, 3, 4, 5, 6, 7}};
  std::vector<std::vector<int32_t>> heard(3);
  auto ok = engine->generate_together(prompts, 5, [&](auto& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i)
      heard[i].push_back(tokens[i]);
  });
  ASSERT_TRUE(ok) << ok.why().message;
  for (size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(heard[i], engine->generate(greedy(prompts[i], 5))->tokens) << i;
}

TEST_F(PlainForward, TakesNoMoreTogetherThanThereIsRoomFor) {
  auto engine = load(8);
  auto code = [&](std::vector<std::vector<int32_t>> prompts, uint32_t count) {
    auto ok = engine->generate_together(prompts, count, [](auto&) {});
    return ok ? std::optional<errc>{} : ok.why().code;
  };
  EXPECT_EQ(code({{1, 2, 3}}, 5), std::nullopt);
  EXPECT_EQ(code({{1, 2, 3}}, 6), errc::context_too_long);
  EXPECT_EQ(code({{1}, {2}}, 1), errc::invalid_input);
  EXPECT_EQ(code({}, 1), errc::invalid_input);
  EXPECT_EQ(code({{1}}, 0), errc::context_too_long);
}

TEST_F(PlainForward, StopsBeforeTheEndToken) {
  auto engine = load();
  auto free_run = *engine->generate(greedy({5, 6, 7}, 8));
  edited_model model{golden_case("v3-fp8")};
  model.config["eos_token_id"] = {255, free_run.tokens[3]};
  auto end = std::find(free_run.tokens.begin(), free_run.tokens.end(),
                       free_run.tokens[3]);
  auto ending = load(model.write(scratch_dir()), {});
  auto request = greedy({5, 6, 7}, 8);
  request.ignore_eos = false;
  auto out = *ending->generate(request);
  EXPECT_EQ(out.finish, finish_reason::stop);
  EXPECT_EQ(out.tokens, std::vector<int32_t>(free_run.tokens.begin(), end));
}

TEST_F(PlainForward, FillsItsContextIfNobodySaysWhenToStop) {
  auto engine = load(20);
  auto out = engine->generate(greedy({1, 2, 3, 4}, 0));
  ASSERT_TRUE(out) << out.why().message;
  EXPECT_EQ(out->tokens.size(), 16u);
  EXPECT_EQ(out->finish, finish_reason::length);
  EXPECT_EQ(engine->generate(greedy({1, 2, 3, 4}, 99))->tokens.size(), 16u);
}

TEST_F(PlainForward, SaysWhyItTakesNoPrompt) {
  auto engine = load(4);
  auto why = [&](std::vector<int32_t> prompt) {
    return engine->generate(greedy(std::move(prompt), 1)).why();
  };
  EXPECT_EQ(why({}).message, "the prompt has no tokens");
  EXPECT_EQ(why({1, 256}).message,
            "token 256 is not in the model's vocabulary");
  EXPECT_EQ(why({-1}).message, "token -1 is not in the model's vocabulary");
  EXPECT_EQ(why({1, 1, 1, 1}).code, errc::context_too_long);
  EXPECT_TRUE(engine->generate(greedy({1, 1, 1}, 9)));
}

TEST_F(PlainForward, NeverSamplesIdsBeyondTheTokenizers) {
  auto engine = load(200, 3);
  auto request = greedy({9}, 100);
  request.sampling.temperature = 2;
  auto out = *engine->generate(request);
  EXPECT_EQ(out.tokens.size(), 100u);
  for (auto id : out.tokens)
    EXPECT_LT(id, 3);
}

TEST_F(PlainForward, RepeatsItselfWithTheSameSeed) {
  auto engine = load(100);
  auto request = greedy({9, 8}, 50);
  request.sampling.temperature = 1;
  request.sampling.seed = 42;
  auto first = engine->generate(request)->tokens;
  EXPECT_EQ(engine->generate(request)->tokens, first);
  request.sampling.seed = 43;
  EXPECT_NE(engine->generate(request)->tokens, first);
}

TEST_F(PlainForward, DoesNotReadTheLayersThatOnlyPredictFurther) {
  edited_model model{golden_case("v3-fp8")};
  auto erased = std::erase_if(model.tensors, [](auto& x) {
    return x.first.starts_with("model.layers.3.");
  });
  ASSERT_GT(erased, 0u);
  auto without = load(model.write(scratch_dir()), {});
  auto with = load();
  std::vector<int32_t> prompt{1, 2, 3, 4, 5};
  EXPECT_EQ(without->run(prompt)->logits, with->run(prompt)->logits);
}

TEST_F(PlainForward, RunsAnFp8ModelWithSomeMatricesInBf16) {
  edited_model model{golden_case("v3-fp8")};
  for (auto& [name, view] : std::map{model.tensors}) {
    auto is_plain = name.find("self_attn.o_proj.weight") != std::string::npos
                    || name.find("kv_a_proj") != std::string::npos
                    || name.find("shared_experts") != std::string::npos
                    || name.find("layers.0.mlp") != std::string::npos;
    if (!is_plain || view.dtype != tensor_type::f8_e4m3)
      continue;
    auto values = *to_floats(name, view);
    for (auto& x : values)
      x /= 1024;
    model.set_bf16(name, values);
    model.tensors.erase(name + "_scale_inv");
  }
  auto engine = load(model.write(scratch_dir()), {});
  auto out = engine->run({1, 2, 3});
  ASSERT_TRUE(out) << out.why().message;
  for (auto x : out->logits)
    ASSERT_TRUE(std::isfinite(x));
}

} // namespace
} // namespace troupe
