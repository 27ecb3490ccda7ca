/// The house rules that a machine can check: who may include whom, which
/// outside library is seen where, and how long things are. Reading the tables
/// is reading the architecture.

#include "tests/unit/house/source_tree.hpp"

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>

namespace {

using namespace troupe::house;

// Folder -> the folders that its files may include.
const std::map<std::string, std::set<std::string>> below = {
  {"schemas", {}},
  {"kernels", {"kernels"}},
  {"runtime", {"runtime", "kernels", "schemas"}},
  {"actors", {"actors", "runtime", "kernels", "schemas"}},
  {"deploy", {"deploy", "actors", "runtime", "kernels"}},
  {"tests", {"tests", "actors", "runtime", "kernels", "schemas", "deploy"}},
  {"examples", {"examples", "actors", "runtime", "kernels"}},
};

struct home {
  const char* include; ///< Regular expression of the name between <>.
  const char* files;   ///< Regular expression of the files that may.
};

// Outside libraries, and the only places that see them.
const home homes[] = {
  {"caf/.*", "actors/.*|tests/unit/actors/.*"},
  {"uc[pst]/.*", "runtime/transport/ucx_(?!transport\\.hpp).*"},
  {"hwy/.*", "kernels/cpu/.*"},
  {"cuda.*\\.h", "kernels/cuda/.*"},
  {".*intrin\\.h", "kernels/cpu/.*|kernels/host/thread_pool\\.cpp|runtime/"
                   "transport/crc32c\\.cpp"},
  {"boost/.*",
   "runtime/http/((server|client)\\.cpp|(connection|client_socket|timed_"
   "socket)\\.[ch]pp)|"
   "runtime/meeting/(door\\.cpp|line\\.[ch]pp)"},
  {"nlohmann/.*", "(runtime|deploy|tests)/.*\\.cpp|tests/.*\\.hpp|"
                  "runtime/json/.*\\.hpp"},
  {"toml\\+\\+/.*", "runtime/toml/.*"},
  {"pcre2\\.h", "runtime/text/.*\\.cpp"},
  {"openssl/.*", "runtime/.*\\.cpp"},
  {"xxh.*\\.h", "runtime/digest\\.cpp"},
  {"(capnp|kj)/.*", "(runtime|actors|tests)/.*"},
  {"CLI/.*", "deploy/.*"},
  {"(gtest|gmock|benchmark)/.*", "tests/.*"},
  {"rocksdb/.*", "tests/bench/.*"},
};

struct owner {
  const char* words; ///< Regular expression in the code.
  const char* files; ///< Regular expression of the files that may.
  const char* why;
};

// What makes a program unpredictable, and who owns it.
const owner owners[] = {
  {"_clock::now",
   "runtime/clock\\.cpp|kernels/host/thread_pool\\.cpp|"
   "kernels/host/crowd\\.hpp|tests/bench/.*",
   "time comes from a clock that a constructor was given"},
  {"\\b(random_device|mt19937|rand\\()", "runtime/entropy\\.cpp|tests/.*",
   "chance comes from a seed"},
  {"std::(thread|jthread|async)\\b(?!::)",
   "kernels/host/thread_pool\\.[ch]pp|"
   "runtime/transport/(ucx_io|emulated_transport)\\.[ch]pp|"
   "runtime/(http/server|task_queue)\\.[ch]pp|deploy/node\\.cpp|"
   "runtime/meeting/door\\.cpp|runtime/kv_store/kv_io\\.cpp|"
   "actors/(node|pool_coordinator)\\.[ch]pp|tests/.*",
   "threads have named owners"},
  {"sleep_(for|until)|\\bu?sleep\\(",
   "tests/cluster/.*|tests/unit/kernels/thread_pool_test\\.cpp",
   "nothing sleeps to wait for something"},
  {"\\b(fork|exec[lv]p?e?)\\(",
   "deploy/local_nodes\\.cpp|tests/(cluster|simulation)/.*",
   "processes are started in one place"},
  {"\\bgetenv\\(",
   "runtime/transport/ucx_worker\\.cpp|deploy/api_key_flags\\.cpp|"
   "deploy/(flag_sources|cache_place|client_key)\\.cpp|tests/"
   "places\\.hpp|"
   "tests/unit/house/places_test\\.cpp|tests/unit/runtime/fuzz\\.hpp|"
   "tests/cluster/(transport_peer_main|shapes_test)\\.cpp",
   "settings are flags, whose sources are in one place, or the topology; a "
   "secret may come this way, and where caches are"},
  {"testing::TempDir\\(",
   "tests/unit/runtime/span_file_test\\.cpp|tests/cluster/cli_test\\.cpp",
   "files of tests lie in folders that go with them"},
  {"\\bstd::(cout|cerr)\\b", "deploy/.*|tests/.*|examples/.*",
   "a library does not print; it is handed a logger"},
};

// What stands at the root, besides what begins with a dot.
const std::set<std::string> root_entries = {
  "schemas",         "kernels", "runtime",        "actors",
  "deploy",          "tests",   "examples",       "README.md",
  "ARCHITECTURE.md", "LICENSE", "CMakeLists.txt", "CMakePresets.json",
  "build", // ignored by git
};

// Put together here so that this file does not hold them.
const std::string unfinished = std::string{"TO"} + "DO|FIX" + "ME|\\bXX"
                               + "X\\b|for" + " now|not (yet )?"
                               + "implemented|place" + "holder|\\bstub";
const std::string private_paths = std::string{"\\.\\./sha"} + "red|/wo" + "rk/"
                                  + "|/ro" + "ot/|/fa" + "rm/";

std::string at(const source_file& file, size_t index) {
  return file.path + ":" + std::to_string(index + 1) + ": ";
}

size_t columns(const std::string& line) {
  return std::count_if(line.begin(), line.end(),
                       [](char c) { return (c & 0xc0) != 0x80; });
}

bool matches(const std::string& text, const char* pattern) {
  return std::regex_match(text, std::regex{pattern});
}

void check_inside(const source_file& file, size_t i, const std::string& name) {
  if (name.find('/') == name.npos && file.path.starts_with("tests/"))
    return; // a fixture beside its tests
  auto folder = file.path.substr(0, file.path.find('/'));
  auto target = name.substr(0, name.find('/'));
  EXPECT_TRUE(below.at(folder).contains(target))
    << at(file, i) << folder << " may not include \"" << name << "\"";
}

void check_outside(const source_file& file, size_t i, const std::string& name) {
  for (auto& home : homes)
    if (matches(name, home.include) && !matches(file.path, home.files))
      ADD_FAILURE() << at(file, i) << "<" << name << "> is seen only in "
                    << home.files;
}

class Tidy : public testing::Test {
protected:
  static const std::vector<source_file>& files() {
    static const auto tree = read_tree();
    return tree;
  }
};

} // namespace

TEST_F(Tidy, FoldersIncludeOnlyWhatIsBelowThem) {
  const std::regex include{R"(^\s*#\s*include ([<"])([^>"]+)[>"])"};
  for (auto& file : files())
    for (size_t i = 0; is_cpp(file) && i < file.lines.size(); ++i) {
      std::smatch m;
      if (!std::regex_search(file.lines[i], m, include))
        continue;
      if (m[1] == "\"")
        check_inside(file, i, m[2]);
      else
        check_outside(file, i, m[2]);
    }
}

TEST_F(Tidy, TimeChanceThreadsAndProcessesHaveNamedOwners) {
  for (auto& file : files()) {
    if (!is_cpp(file))
      continue;
    auto lines = split_lines(code_only(file.text));
    for (auto& owner : owners) {
      if (matches(file.path, owner.files))
        continue;
      const std::regex words{owner.words};
      for (size_t i = 0; i < lines.size(); ++i)
        EXPECT_FALSE(std::regex_search(lines[i], words))
          << at(file, i) << owner.why << "\n  " << file.lines[i];
    }
  }
}

TEST_F(Tidy, LinesFilesAndFunctionsAreShort) {
  for (auto& file : files()) {
    if (!is_cpp(file))
      continue;
    EXPECT_LE(file.lines.size(), 500u) << file.path << " is two ideas";
    for (size_t i = 0; i < file.lines.size(); ++i)
      EXPECT_LE(columns(file.lines[i]), 80u) << at(file, i) << "too long";
    for (auto& f : functions_of(file.text))
      EXPECT_LE(f.num_lines, 70u)
        << at(file, f.first_line - 1) << "a function this long is several";
  }
}

TEST_F(Tidy, EveryHeaderIsIncludedOnceAndFirstByItsOwnSource) {
  std::set<std::string> paths;
  for (auto& file : files())
    paths.insert(file.path);
  const std::regex include{R"(#include "([^"]+)\")"};
  for (auto& file : files()) {
    // Highway includes its own once for each instruction set.
    auto is_once = !matches(file.path, "kernels/cpu/(.*-inl|targets)\\.hpp");
    if (file.path.ends_with(".hpp") && is_once) {
      EXPECT_EQ(file.lines.at(0), "#pragma once") << file.path;
    }
    auto stem = file.path.substr(0, file.path.rfind('.'));
    if (!file.path.ends_with(".cpp") || !paths.contains(stem + ".hpp"))
      continue;
    std::smatch m;
    ASSERT_TRUE(std::regex_search(file.text, m, include)) << file.path;
    EXPECT_EQ(m[1], stem + ".hpp") << file.path << " proves that its header "
                                   << "stands alone by including it first";
  }
}

TEST_F(Tidy, OnlyTheKnownEntriesStandAtTheRoot) {
  for (auto& entry : std::filesystem::directory_iterator{source_dir()}) {
    auto name = entry.path().filename().string();
    EXPECT_TRUE(name[0] == '.' || root_entries.contains(name))
      << name << " does not belong at the root";
  }
}

TEST_F(Tidy, NothingIsLeftForLaterAndNoPathIsPrivate) {
  const std::regex later{unfinished}, paths{private_paths};
  for (auto& file : files())
    for (size_t i = 0; i < file.lines.size(); ++i) {
      EXPECT_FALSE(std::regex_search(file.lines[i], later))
        << at(file, i) << "finish it or leave it out\n  " << file.lines[i];
      EXPECT_FALSE(std::regex_search(file.lines[i], paths))
        << at(file, i) << "exists on one machine only\n  " << file.lines[i];
    }
}

TEST_F(Tidy, EveryTestIsBuiltAndNoneIsSwitchedOff) {
  std::string cmake;
  for (auto& file : files())
    if (file.path == "tests/CMakeLists.txt")
      cmake = file.text;
  const std::regex off{std::string{"DIS"} + "ABLED_|GTEST_" + "SKIP"};
  for (auto& file : files()) {
    if (!file.path.starts_with("tests/"))
      continue;
    EXPECT_FALSE(std::regex_search(file.text, off)) << file.path;
    auto slash = file.path.rfind('/');
    auto folder = file.path.substr(6, slash < 6 ? 0 : slash - 6);
    auto name = file.path.substr(slash + 1);
    if (has_suffix(name, {"_test.cpp"})) {
      const std::regex target{"troupe_tests\\([a-z_]+ " + folder + "[ )]"};
      EXPECT_TRUE(std::regex_search(cmake, target))
        << file.path << " belongs to no target";
    } else if (has_suffix(name, {"_test.py"})) {
      EXPECT_NE(cmake.find(name), cmake.npos) << file.path << " runs nowhere";
    }
  }
}

TEST(SourceTree, FindsTheLengthOfFunctionsDespiteWhatLiesInThem) {
  auto text = std::string{"namespace a {\n"
                          "int f(int x) { // {\n"
                          "  auto s = \"}\";\n"
                          "  return [&] { return '{'; }();\n"
                          "}\n"
                          "struct b {\n"
                          "  void g() {\n"
                          "  }\n"
                          "};\n"
                          "}\n"};
  auto found = functions_of(text);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].first_line, 2u);
  EXPECT_EQ(found[0].num_lines, 4u);
  EXPECT_EQ(found[1].first_line, 7u);
  EXPECT_EQ(found[1].num_lines, 2u);
}
