/// Where `troupe serve` takes its keys from, and which sources it refuses.

#include "tests/cluster/program.hpp"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>

namespace {

using namespace troupe::tests;

/// A file of keys with permissions `mode`.
std::string key_file(const scratch_dir& in, const std::string& text,
                     mode_t mode) {
  auto path = (in.path() / "keys").string();
  std::filesystem::remove(path);
  std::ofstream{path} << text;
  chmod(path.c_str(), mode);
  return path;
}

/// Serves nothing: should the keys be accepted, the address is not.
outcome serve_with(std::vector<std::string> args) {
  args.insert(args.begin(), {"serve", nano(), "--threads", "1", "--host",
                             "keys are accepted"});
  return run_troupe(args);
}

void expect_refused(const outcome& x, const std::string& sentence) {
  EXPECT_EQ(x.status, 1);
  EXPECT_NE(x.errors.find(sentence), std::string::npos) << x.errors;
  EXPECT_EQ(x.errors.find("troupe: "), x.errors.rfind("troupe: ")) << x.errors;
  EXPECT_EQ(x.errors.find("hush"), std::string::npos) << "tells the key";
}

/// Sets a variable of the environment while it lives.
class variable {
public:
  variable(const char* name, const char* value) : name_(name) {
    setenv(name, value, 1);
  }

  ~variable() {
    unsetenv(name_);
  }

private:
  const char* name_;
};

TEST(ServeKeys, AreRefusedFromAFileThatOthersMayUse) {
  scratch_dir scratch;
  for (mode_t mode : {0644, 0640, 0604, 0602, 0620}) {
    auto path = key_file(scratch, "hush\n", mode);
    expect_refused(serve_with({"--api-key-file", path}),
                   path + " holds a secret and is open to others");
  }
}

TEST(ServeKeys, AreRefusedWhereASourceHoldsNone) {
  scratch_dir scratch;
  auto path = key_file(scratch, "\n", 0600);
  expect_refused(serve_with({"--api-key-file", path}),
                 path + " holds no API key");
  expect_refused(serve_with({"--api-key", ""}), "--api-key holds no API key");
  expect_refused(serve_with({"--api-key", "hush now"}), "the key in line 1");
  expect_refused(serve_with({"--api-key-file", "/nowhere/keys"}),
                 "/nowhere/keys: cannot be read");
  variable empty{"TROUPE_API_KEY", ""};
  expect_refused(serve_with({}), "TROUPE_API_KEY holds no API key");
}

TEST(ServeKeys, AreRefusedFromWhatIsNoFile) {
  scratch_dir scratch;
  auto path = (scratch.path() / "pipe").string();
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  expect_refused(serve_with({"--api-key-file", path}), "is no regular file");
  expect_refused(serve_with({"--api-key-file", scratch.path().string()}),
                 "is no regular file");
}

TEST(ServeKeys, AreTakenFromEverySourceAtOnce) {
  scratch_dir scratch;
  auto path = key_file(scratch, "one\ntwo\n", 0600);
  variable third{"TROUPE_API_KEY", "three"};
  expect_refused(serve_with({"--api-key-file", path, "--api-key", "four",
                             "--api-key", "five"}),
                 "'keys are accepted', is no IP address and no name");
}

} // namespace
