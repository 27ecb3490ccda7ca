#include "runtime/checkpoint/digest_cache.hpp"

#include "tests/model_files.hpp"

#include <cstring>
#include <random>

namespace troupe {
namespace {

namespace fs = std::filesystem;

/// A model of one file that may be touched, and a place for a cache.
class DigestCache : public testing::Test {
protected:
  DigestCache() : model_(scratch_dir() / "model") {
    fs::create_directory(model_);
    for (auto name : {"config.json", "model.safetensors"})
      fs::copy_file(golden_case("v3-fp8") / name, model_ / name);
  }

  checkpoint source() const {
    auto out = checkpoint::open(model_);
    EXPECT_TRUE(out) << out.why().message;
    return std::move(*out);
  }

  /// A digest for every tensor; which one does not matter to a cache.
  static digest_table all_of(const checkpoint& source) {
    digest_table out;
    for (auto& name : source.names())
      out[name] = digest_of(name);
    return out;
  }

  fs::path weights() const {
    return model_ / "model.safetensors";
  }

  fs::path model_;
  fs::path dir_ = model_.parent_path() / "not" / "yet" / "there";
};

TEST_F(DigestCache, KeepsWhatItIsGivenForTheNextStart) {
  auto first = source();
  EXPECT_TRUE(digest_cache(dir_, first).read().empty());
  digest_cache{dir_, first}.write(all_of(first));
  auto second = source();
  EXPECT_EQ(digest_cache(dir_, second).read(), all_of(second));
}

TEST_F(DigestCache, KnowsAModelByWhateverPath) {
  auto first = source();
  digest_cache{dir_, first}.write(all_of(first));
  fs::create_directory_symlink(model_, model_.parent_path() / "link");
  auto linked = checkpoint::open(model_.parent_path() / "link");
  ASSERT_TRUE(linked);
  EXPECT_EQ(digest_cache(dir_, *linked).read(), all_of(first));
}

TEST_F(DigestCache, ForgetsAFileThatChanged) {
  auto first = source();
  digest_cache{dir_, first}.write(all_of(first));
  auto time = fs::last_write_time(weights());
  write_text(weights(), read_text(weights())); // as many bytes
  fs::last_write_time(weights(), time);        // and as old, it says
  auto second = source();
  EXPECT_TRUE(digest_cache(dir_, second).read().empty());
}

TEST_F(DigestCache, TakesNothingFromADamagedFile) {
  auto x = source();
  digest_cache cache{dir_, x};
  cache.write(all_of(x));
  auto whole = read_text(cache.path());
  std::mt19937 rng{3};
  for (int round = 0; round < 400; ++round) {
    auto damaged = whole;
    damaged[rng() % damaged.size()] ^= char(1 << rng() % 8);
    write_text(cache.path(), damaged);
    EXPECT_TRUE(cache.read().empty()) << "round " << round;
  }
  for (auto size : {whole.size() - 1, whole.size() - 8, whole.size() / 16 * 8,
                    size_t{16}, size_t{15}, size_t{0}}) {
    write_text(cache.path(), whole.substr(0, size));
    EXPECT_TRUE(cache.read().empty()) << size << " bytes";
  }
  fs::remove(cache.path());
  fs::create_directory(cache.path());
  EXPECT_TRUE(cache.read().empty());
}

/// Whoever writes a right sum behind nonsense still ends no process.
TEST_F(DigestCache, TakesNothingFromAMessageThatIsNone) {
  auto x = source();
  digest_cache cache{dir_, x};
  cache.write(all_of(x));
  auto whole = read_text(cache.path());
  std::mt19937 rng{4};
  for (int round = 0; round < 400; ++round) {
    auto message = whole.substr(0, whole.size() - 16);
    for (int i = 0; i < 8; ++i)
      message[rng() % message.size()] = char(rng());
    auto sum = digest_of(message);
    std::string end(16, '\0');
    std::memcpy(end.data(), &sum.low, 8);
    std::memcpy(end.data() + 8, &sum.high, 8);
    write_text(cache.path(), message + end);
    for (auto& [name, value] : cache.read())
      EXPECT_NE(x.find(name), nullptr);
  }
}

TEST_F(DigestCache, MayHaveNoPlaceOrOneThatNobodyCanWrite) {
  auto x = source();
  digest_cache nowhere{{}, x};
  nowhere.write(all_of(x));
  EXPECT_TRUE(nowhere.path().empty());
  EXPECT_TRUE(nowhere.read().empty());
  write_text(model_.parent_path() / "file", "");
  digest_cache blocked{model_.parent_path() / "file", x};
  blocked.write(all_of(x));
  EXPECT_TRUE(blocked.read().empty());
}

} // namespace
} // namespace troupe
