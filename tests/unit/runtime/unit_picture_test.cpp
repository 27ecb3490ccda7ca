#include "runtime/sim/unit_picture.hpp"
#include "runtime/sim/unit_scene.hpp"

#include "tests/places.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

using namespace troupe;

namespace {

std::filesystem::path pictures() {
  return source_dir() / "examples" / "pictures";
}

virtual_unit_options scene(const char* name) {
  auto x = read_unit_scene(pictures() / name);
  if (!x)
    throw std::runtime_error(x.why().message);
  return std::move(*x);
}

/// Names of what the first GPU computed from when lane 0 began that layer to
/// when it began the next, each once in a row.
std::vector<std::string> order_of(const unit_step& step, uint16_t layer) {
  std::vector<span> all;
  clock::instant begin = {}, end = {};
  for (auto& track : step.spans.at(0).tracks)
    for (auto& x : track.spans) {
      if (x.what == span_kind::prepare && x.lane == 0 && x.layer == layer)
        begin = x.begin;
      if (x.what == span_kind::prepare && x.lane == 0 && x.layer == layer + 1)
        end = x.begin;
      if (track.kind == track_kind::compute || track.kind == track_kind::worker)
        all.push_back(x);
    }
  std::ranges::sort(all, {}, &span::begin);
  std::vector<std::string> out;
  for (auto& x : all) {
    auto is_seen = x.what == span_kind::attention
                   || x.what == span_kind::shared_expert
                   || x.what == span_kind::run;
    auto name = std::string{to_string(x.what)} + std::to_string(x.lane);
    if (is_seen && x.begin >= begin && x.begin < end
        && (out.empty() || out.back() != name))
      out.push_back(name);
  }
  return out;
}

/// What the bars say: within 5 % of 1.421 ms and within 8 % of 34.61 ms, of one
/// machine.
TEST(UnitPicture, OfDecodingIsAsLongAsThePublishedOne) {
  auto options = scene("decode.toml");
  auto ours = measure_layer(options, run_step(options));
  EXPECT_NEAR(ours.layer / 1421, 1, 0.05);
  EXPECT_EQ(options.num_ranks, 128u);
}

TEST(UnitPicture, OfPrefillIsAsLongAsThePublishedOne) {
  auto options = scene("prefill.toml");
  options.config.num_hidden_layers = 24;
  auto ours = measure_layer(options, run_step(options));
  EXPECT_NEAR(ours.layer / 34610, 1, 0.08);
  EXPECT_EQ(options.num_ranks, 32u);
  EXPECT_EQ(options.lanes[0].rows() + options.lanes[1].rows(), 16384);
}

/// As the system is run: 144 GPUs with two experts each.
TEST(UnitPicture, OfMoreGpusIsMuchTheSame) {
  auto options = scene("decode.toml");
  options.num_ranks = 144;
  options.redundant_experts = 32;
  options.config.num_hidden_layers = 16;
  ASSERT_TRUE(check_ranks(options));
  auto ours = measure_layer(options, run_step(options));
  EXPECT_NEAR(ours.layer / 1421, 1, 0.05);
}

/// ATTN(1) while rows of 0 are on their way, MLP(0) as soon as they are there,
/// and then the rest of ATTN(1) over their way back.
TEST(UnitPicture, DecodingFindsThePublishedOrder) {
  auto options = scene("decode.toml");
  options.config.num_hidden_layers = 16;
  std::vector<std::string> published
    = {"attention0", "run1", "attention0", "shared_expert0",
       "attention1", "run0", "attention1", "shared_expert1"};
  EXPECT_EQ(order_of(run_step(options), 12), published);
}

/// ATTN and MLP of the two alternate; who is called 0 there is 1 here.
TEST(UnitPicture, PrefillFindsThePublishedOrder) {
  auto options = scene("prefill.toml");
  options.config.num_hidden_layers = 16;
  auto found = order_of(run_step(options), 12);
  std::erase_if(found, [](auto& x) { return x.starts_with("shared"); });
  std::rotate(found.begin(), std::ranges::find(found, "attention0"),
              found.end());
  std::vector<std::string> published = {"attention0", "attention1", "run0",
                                        "run1"};
  EXPECT_EQ(found, published);
}

/// All that computes and the gaps make up the layer.
TEST(UnitPicture, TimesAddUp) {
  auto options = scene("decode.toml");
  options.config.num_hidden_layers = 12;
  auto x = measure_layer(options, run_step(options));
  double kernels = 0;
  for (auto& [name, time] : x.kernels)
    kernels += time;
  EXPECT_NEAR(kernels + x.idle, x.layer, 0.01 * x.layer);
  auto moved = 2 * (x.stages["dispatch"] + x.stages["combine"]);
  EXPECT_NEAR(x.hidden + x.exposed, moved, 0.05 * moved); // cut at its ends
}

/// One micro-batch hides nothing: every stage follows the one before.
TEST(UnitPicture, OneMicroBatchWaitsForAll) {
  auto options = scene("decode.toml");
  options.config.num_hidden_layers = 12;
  options.lanes.resize(1);
  auto x = measure_layer(options, run_step(options));
  auto sum = x.stages["attn_0"] + x.stages["attn_1"] + x.stages["dispatch"]
             + x.stages["mlp"] + x.stages["combine"] + x.stages["copies"];
  EXPECT_NEAR(x.layer, sum, 0.01 * sum);
}

TEST(UnitPicture, TheSameSceneGivesTheSameTimes) {
  auto options = scene("decode.toml");
  options.config.num_hidden_layers = 12;
  EXPECT_EQ(measure_layer(options, run_step(options)).layer,
            measure_layer(options, run_step(options)).layer);
}

/// Nothing that was computed depends on it.
TEST(UnitPicture, PrintsWhatIsPublishedBesideIt) {
  auto published = read_published(pictures() / "published.toml", "decode");
  ASSERT_TRUE(published) << published.why().message;
  EXPECT_EQ(published->layer, 1421);
  layer_figures ours;
  ours.layer = 1421 / 2.0;
  auto text = to_string(ours, *published);
  EXPECT_NE(text.find("layer                 710.5     1421.0   0.500"),
            std::string::npos)
    << text;
}

TEST(UnitScene, HasToBeOneThatCanBeRun) {
  auto options = scene("decode.toml");
  options.num_ranks = 100;
  EXPECT_FALSE(check_ranks(options));
  options.num_ranks = 1;
  EXPECT_FALSE(check_ranks(options));
  EXPECT_FALSE(read_unit_scene(pictures() / "nowhere.toml"));
}

} // namespace
