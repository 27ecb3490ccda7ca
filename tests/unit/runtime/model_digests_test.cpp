#include "runtime/checkpoint/model_digests.hpp"

#include "kernels/host/thread_pool.hpp"
#include "runtime/cluster/node_parts.hpp"
#include "runtime/convert/model_maker.hpp"
#include "runtime/convert/model_presets.hpp"
#include "runtime/model/load_window.hpp"
#include "tests/model_files.hpp"

#include <nlohmann/json.hpp>

namespace troupe {
namespace {

namespace fs = std::filesystem;

checkpoint open(const fs::path& dir) {
  auto out = checkpoint::open(dir);
  EXPECT_TRUE(out) << out.why().message;
  return std::move(*out);
}

/// One tensor after the other, each as a whole.
digest_table plainly(const checkpoint& source) {
  digest_table out;
  for (auto& name : source.names())
    out[name] = digest_of(*source.read(*source.find(name)));
  return out;
}

TEST(ModelDigests, AreThoseOfEveryTensorWhateverTheThreads) {
  for (auto dir : {golden_case("v3-fp8"), nano_dir() / "model"}) {
    auto source = open(dir);
    for (uint32_t threads : {1u, 2u, 5u}) {
      kernels::thread_pool pool{threads};
      auto all = digest_model(source, {}, pool);
      ASSERT_TRUE(all) << all.why().message;
      EXPECT_EQ(*all, plainly(source)) << threads << " threads";
    }
  }
}

TEST(ModelDigests, ReadNothingThatIsKnown) {
  auto source = open(golden_case("v3-fp8"));
  auto known = plainly(source);
  auto lacking = known.extract(std::prev(known.end()));
  known.begin()->second = {1, 2}; // who says so has read it
  kernels::thread_pool pool{2};
  std::vector<uint64_t> totals;
  auto note = [&](uint64_t, uint64_t total) { totals.push_back(total); };
  auto all = digest_model(source, known, pool, note);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->at(lacking.key()), lacking.mapped());
  EXPECT_EQ(all->begin()->second, (digest{1, 2}));
  auto bytes = source.find(lacking.key())->num_bytes;
  EXPECT_EQ(totals, (std::vector<uint64_t>{bytes, bytes}));
  totals.clear();
  EXPECT_TRUE(digest_model(source, *all, pool, note));
  EXPECT_TRUE(totals.empty());
}

TEST(ModelDigests, StopWhenTheyAreToldTo) {
  auto source = open(golden_case("v3-fp8"));
  kernels::thread_pool pool{1};
  std::stop_source stop;
  stop.request_stop();
  auto all = digest_model(source, {}, pool, {}, stop.get_token());
  ASSERT_FALSE(all);
  EXPECT_EQ(all.why().code, errc::cancelled);
}

TEST(ModelDigests, SayWhichFileCannotBeRead) {
  auto dir = scratch_dir();
  for (auto name : {"config.json", "model.safetensors"})
    fs::copy_file(golden_case("v3-fp8") / name, dir / name);
  auto source = open(dir);
  fs::resize_file(dir / "model.safetensors", 1000);
  kernels::thread_pool pool{2};
  auto all = digest_model(source, {}, pool);
  ASSERT_FALSE(all);
  EXPECT_EQ(all.why().message, (dir / "model.safetensors").string()
                                 + " changed while it was read");
}

/// Loads every node of a cluster and expects that what they say they have
/// packed is what stands in the files, and that all of them have packed all.
void expect_packed(const fs::path& dir) {
  auto source = open(dir);
  auto files = plainly(source);
  auto mtp = "model.layers."
             + std::to_string(source.config()->num_hidden_layers) + ".";
  std::erase_if(files, [&](auto& x) { return x.first.starts_with(mtp); });
  digest_table packed;
  auto cluster = local(4, 1, 2);
  cluster.max_model_len = 64;
  for (node_id n = 0; n < cluster.nodes.size(); ++n) {
    node_options options;
    options.num_threads = 1 + n % 2;
    auto parts = load_node_parts(cluster, n, dir, options);
    ASSERT_TRUE(parts) << parts.why().message;
    for (auto& [tensor, bytes] : (*parts)->digests)
      EXPECT_EQ(bytes, files.at(tensor)) << tensor;
    packed.merge((*parts)->digests);
  }
  EXPECT_EQ(packed.size(), files.size()) << "every tensor is somebody's";
}

TEST(ModelDigests, OfPackedTensorsAreThoseOfTheirFiles) {
  for (auto name : {"v3-fp8", "v3-bf16-sharded", "tied", "v2-greedy"})
    expect_packed(golden_case(name));
}

TEST(ModelDigests, OfTensorsThatArePackedInPartsToo) {
  auto config = nlohmann::json::parse(*preset_config("micro"));
  config["vocab_size"] = 16384; // 8 MiB: two parts and more
  config["num_hidden_layers"] = 2;
  auto dir = scratch_dir() / "made";
  ASSERT_TRUE(make_model(dir, {.config_json = config.dump()}));
  auto source = open(dir);
  ASSERT_GT(source.find("lm_head.weight")->num_bytes, load_window::part_bytes);
  expect_packed(dir);
}

/// The second start reads nothing; a tensor that was packed is not read again.
TEST(ModelDigests, OfADirectoryAreKeptForTheNextStart) {
  auto cache = scratch_dir();
  node_options options;
  options.cache_dir = cache;
  size_t told = 0;
  auto note = [&](const std::string&, uint64_t, uint64_t) { ++told; };
  auto model = golden_case("v3-fp8").string();
  auto first = digest_model_dir(model, {}, {}, options, note);
  ASSERT_TRUE(first) << first.why().message;
  EXPECT_EQ(*first, plainly(open(model)));
  EXPECT_GT(std::exchange(told, 0), 0u);
  auto second = digest_model_dir(model, {}, {}, options, note);
  ASSERT_TRUE(second);
  EXPECT_EQ(*second, *first);
  EXPECT_EQ(told, 0u);
  // What was packed counts more than what was kept.
  digest_table held{{first->begin()->first, {1, 2}}};
  std::vector<input_file::stamp> from;
  auto source = open(model);
  for (auto& file : source.files())
    from.push_back(file.known_by());
  auto third = digest_model_dir(model, held, from, options, note);
  ASSERT_TRUE(third);
  EXPECT_EQ(third->begin()->second, (digest{1, 2}));
  // But not if it was packed from other files than those that are there now.
  ++from[0].changed_ns;
  auto changed = digest_model_dir(model, held, from, options, note);
  ASSERT_FALSE(changed);
  EXPECT_NE(changed.why().message.find("was changed while it was read"),
            std::string::npos);
}

} // namespace
} // namespace troupe
