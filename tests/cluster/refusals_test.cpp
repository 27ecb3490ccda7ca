/// What the binary says of models, machines and flags that it cannot serve
/// with: one sentence, before anything is served, and never a signal.

#include "tests/cluster/program.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <sys/stat.h>

namespace {

using namespace troupe::tests;
using nlohmann::json;

namespace fs = std::filesystem;

/// A copy of the nano model that may be damaged.
class Refusals : public testing::Test {
protected:
  Refusals() : model_(scratch_.path() / "model") {
    fs::create_directory(model_);
    for (auto& entry : fs::directory_iterator{nano()})
      fs::copy_file(entry.path(), model_ / entry.path().filename());
  }

  outcome generate(std::vector<std::string> more = {}) {
    std::vector<std::string> args{"generate", model_,         "--token-ids",
                                  "1,2",      "--max-tokens", "2"};
    args.insert(args.end(), more.begin(), more.end());
    return run_troupe(args);
  }

  void expect_refusal(const outcome& x, const std::string& words) {
    EXPECT_EQ(x.status, 1) << x.errors;
    EXPECT_EQ(x.out, "");
    EXPECT_NE(x.errors.find(words), std::string::npos) << x.errors;
  }

  /// Writes `bytes` over the beginning of a tensor.
  void damage(const std::string& tensor, const std::string& bytes) {
    std::fstream file{model_ / "model.safetensors",
                      std::ios::in | std::ios::out | std::ios::binary};
    uint64_t size = 0;
    file.read(reinterpret_cast<char*>(&size), sizeof(size));
    std::string header(size, '\0');
    file.read(header.data(), static_cast<std::streamsize>(size));
    uint64_t at = json::parse(header).at(tensor).at("data_offsets").at(0);
    file.seekp(static_cast<std::streamoff>(8 + size + at));
    file << bytes;
    ASSERT_TRUE(file.good());
  }

  void put_pipe(const std::string& name) {
    fs::remove(model_ / name);
    ASSERT_EQ(::mkfifo((model_ / name).c_str(), 0600), 0);
  }

  scratch_dir scratch_;
  fs::path model_;
};

TEST_F(Refusals, AWeightThatIsNoNumberIsNamed) {
  damage("model.norm.weight", "\xc0\x7f");
  expect_refusal(generate(),
                 "tensor model.norm.weight is not finite at element 0");
}

TEST_F(Refusals, APipeInPlaceOfAFileOfTheModelIsNotWaitedFor) {
  put_pipe("config.json");
  expect_refusal(generate(), "config.json is no regular file");
  fs::remove(model_ / "config.json");
  fs::copy_file(fs::path{nano()} / "config.json", model_ / "config.json");
  put_pipe("model.safetensors");
  expect_refusal(generate(), "model.safetensors is no regular file");
}

TEST_F(Refusals, ThreadsThatNobodyHasAreWrongUsage) {
  for (auto count : {"40000", "-1", "4294967295"}) {
    auto x = generate({"--threads", count});
    EXPECT_EQ(x.status, 2) << x.errors;
    EXPECT_NE(x.errors.find("--threads"), std::string::npos) << x.errors;
  }
}

TEST_F(Refusals, ASecretThatOthersMayReadIsNone) {
  auto secret = scratch_.path() / "secret";
  std::ofstream{secret} << "the show must go on\n";
  for (mode_t mode : {0644, 0640, 0604, 0620}) {
    ASSERT_EQ(::chmod(secret.c_str(), mode), 0);
    expect_refusal(generate({"--cluster-secret-file", secret}), "chmod 600 ");
  }
  ASSERT_EQ(::chmod(secret.c_str(), 0400), 0);
  EXPECT_EQ(generate({"--cluster-secret-file", secret}).status, 0);
}

TEST_F(Refusals, CachesForWhichThereIsNoMemoryAreNotPromised) {
  auto x = generate({"--num-kv-blocks", "60000000"});
  expect_refusal(x, "--allow-overcommit starts nevertheless");
  EXPECT_NE(x.errors.find("node solo (weights "), std::string::npos)
    << x.errors;
}

TEST_F(Refusals, ANodeWaitsForTheFirstOneNoLongerThanItIsTold) {
  auto x = run_troupe({"node", "--join", "127.0.0.1:1", "--name", "early",
                       "--join-timeout", "1"});
  EXPECT_EQ(x.status, 1);
  for (auto words : {"waits for somebody at 127.0.0.1:1",
                     "cannot join the node at 127.0.0.1:1: there was no answer "
                     "in time"})
    EXPECT_NE(x.errors.find(words), std::string::npos) << x.errors;
}

TEST_F(Refusals, HalfOfTlsIsNone) {
  auto x = run_troupe({"node", "--join", "127.0.0.1:1", "--name", "half",
                       "--cluster-tls-key", "key.pem"});
  EXPECT_EQ(x.status, 1);
  EXPECT_NE(x.errors.find("TLS between nodes takes a certificate"),
            std::string::npos)
    << x.errors;
}

} // namespace
