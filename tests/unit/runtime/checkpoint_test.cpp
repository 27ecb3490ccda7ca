#include "runtime/checkpoint/checkpoint.hpp"

#include "tests/model_files.hpp"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>
#include <ctime>

namespace troupe {
namespace {

namespace fs = std::filesystem;

std::string why(const fs::path& dir) {
  auto out = checkpoint::open(dir);
  return out ? "accepted" : out.why().message;
}

void write_shard(const fs::path& path, const std::vector<std::string>& names) {
  safetensors_writer out;
  for (auto& name : names)
    out.add(name, {1}, std::vector<float>{1});
  ASSERT_TRUE(out.write(path));
}

void write_index(const fs::path& dir, const std::string& weight_map) {
  write_text(dir / "model.safetensors.index.json",
             "{\"metadata\":{},\"weight_map\":{" + weight_map + "}}");
}

TEST(Checkpoint, OpensOneFile) {
  auto c = checkpoint::open(golden_case("v3-fp8"));
  ASSERT_TRUE(c) << c.why().message;
  auto w = c->find("model.layers.0.self_attn.q_a_proj.weight");
  ASSERT_TRUE(w);
  EXPECT_EQ(w->dtype, tensor_type::f8_e4m3);
  EXPECT_EQ(shape_text(w->shape), "[136, 144]");
  EXPECT_EQ(c->find("model.layers.0"), nullptr);
  EXPECT_TRUE(c->check_unchanged());
}

TEST(Checkpoint, OpensShardsByTheirIndex) {
  auto dir = golden_case("v3-bf16-sharded");
  auto c = checkpoint::open(dir);
  ASSERT_TRUE(c) << c.why().message;
  size_t in_files = 0;
  for (auto i : {"1", "2", "3"}) {
    auto name = std::string{"model-0000"} + i + "-of-00003.safetensors";
    in_files += safetensors_file::open(dir / name)->tensors().size();
  }
  EXPECT_EQ(c->names().size(), in_files);
  EXPECT_TRUE(c->find("lm_head.weight"));
}

TEST(Checkpoint, RefusesAnIndexThatIsAtOddsWithItsFiles) {
  auto dir = scratch_dir();
  write_shard(dir / "a.safetensors", {"x", "y"});
  write_shard(dir / "b.safetensors", {"z"});
  auto a = std::string{R"("x":"a.safetensors")"};
  write_index(dir, a + R"(,"y":"a.safetensors","z":"b.safetensors")");
  EXPECT_EQ(why(dir), "accepted");
  write_index(dir, a + R"(,"z":"b.safetensors")");
  EXPECT_EQ(why(dir), "tensor y is in a.safetensors though the index does not "
                      "say so");
  write_index(dir, a + R"(,"y":"b.safetensors","z":"b.safetensors")");
  EXPECT_EQ(why(dir), "tensor y is in a.safetensors though the index does not "
                      "say so");
  write_index(dir, a + R"(,"y":"a.safetensors","w":"a.safetensors")");
  EXPECT_EQ(why(dir), "tensor w is not in a.safetensors where the index says");
  write_index(dir, a + "," + a);
  EXPECT_EQ(why(dir), "model.safetensors.index.json has the key \"x\" twice");
  write_index(dir, "");
  EXPECT_EQ(why(dir), "model.safetensors.index.json has no weight_map");
}

TEST(Checkpoint, RefusesATensorThatTwoFilesHold) {
  auto dir = scratch_dir();
  write_shard(dir / "a.safetensors", {"x"});
  write_shard(dir / "b.safetensors", {"x", "y"});
  write_index(dir, R"("x":"a.safetensors","y":"b.safetensors")");
  EXPECT_EQ(why(dir), "tensor x is in b.safetensors though the index does not "
                      "say so");
}

TEST(Checkpoint, FollowsNoPathOutOfItsDirectory) {
  auto dir = scratch_dir() / "model";
  fs::create_directories(dir);
  write_shard(dir.parent_path() / "a.safetensors", {"x"});
  for (std::string name :
       {"../a.safetensors", "/a.safetensors", "..", "", ".a.safetensors",
        "a\\\\b.safetensors", "a.bin", "a.safetensors\\u0000.safetensors"}) {
    write_index(dir, "\"x\":\"" + name + "\"");
    EXPECT_EQ(why(dir), "model.safetensors.index.json: the file of tensor x is "
                        "no plain name of a safetensors file")
      << name;
  }
}

namespace {

/// Processor time of a look at `count` tensors, of which the index lacks the
/// last: all are looked up.
std::clock_t time_to_open(int count) {
  auto dir = scratch_dir();
  std::string header, index;
  for (int i = 0; i < count; ++i) {
    auto name = "\"layer." + std::to_string(i) + "\":";
    auto comma = i > 0 ? "," : "";
    auto at = std::to_string(i);
    header += comma + name + R"({"dtype":"U8","shape":[1],"data_offsets":[)"
              + at + "," + std::to_string(i + 1) + "]}";
    if (i + 1 < count)
      index += comma + name + "\"a.safetensors\"";
  }
  header = "{" + header + "}";
  std::string file;
  for (int i = 0; i < 8; ++i)
    file += static_cast<char>(header.size() >> (8 * i));
  write_text(dir / "a.safetensors", file + header + std::string(count, 'x'));
  write_index(dir, index);
  auto start = std::clock();
  EXPECT_EQ(why(dir), "tensor layer." + std::to_string(count - 1)
                        + " is in a.safetensors though the index does not say "
                          "so");
  return std::clock() - start;
}

} // namespace

TEST(Checkpoint, TimeToOpenGrowsWithTheNumberOfTensorsNotWithItsSquare) {
  auto few = time_to_open(25'000);
  auto many = time_to_open(100'000);
  EXPECT_LT(many, 8 * few + CLOCKS_PER_SEC / 5); // its square: 16 times
}

TEST(Checkpoint, APipeInPlaceOfAFileIsASentence) {
  auto dir = scratch_dir();
  auto pipe = [&](const char* name) {
    EXPECT_EQ(::mkfifo((dir / name).c_str(), 0600), 0);
    return (dir / name).string() + " is no regular file";
  };
  EXPECT_EQ(why(dir), dir.string()
                        + " holds neither model.safetensors nor "
                          "model.safetensors.index.json");
  auto index = pipe("model.safetensors.index.json");
  EXPECT_EQ(why(dir), index);
  fs::remove(dir / "model.safetensors.index.json");
  auto shard = pipe("a.safetensors");
  write_index(dir, R"("x":"a.safetensors")");
  EXPECT_EQ(why(dir), shard);
  auto single = pipe("model.safetensors");
  EXPECT_EQ(why(dir), single);
}

TEST(Checkpoint, ReadsPartsOfTensors) {
  auto dir = golden_case("v3-bf16-sharded");
  auto c = checkpoint::open(dir);
  ASSERT_TRUE(c);
  auto name = "lm_head.weight";
  auto& x = *c->find(name);
  auto whole = *c->read(x);
  ASSERT_EQ(whole.size(), x.num_bytes);
  std::vector<std::byte> part(100);
  ASSERT_TRUE(c->read(x, 30, part));
  EXPECT_TRUE(std::ranges::equal(part, std::span{whole}.subspan(30, 100)));
  EXPECT_EQ(c->read_floats(name, x)->size(), x.num_elements());
}

TEST(Checkpoint, SaysWhatIsMissing) {
  auto dir = scratch_dir();
  EXPECT_EQ(checkpoint::open(dir).why().code, errc::not_found);
  EXPECT_EQ(checkpoint::open(dir / "none").why().code, errc::not_found);
  write_index(dir, R"("x":"a.safetensors")");
  EXPECT_EQ(checkpoint::open(dir).why().code, errc::not_found);
}

} // namespace
} // namespace troupe
