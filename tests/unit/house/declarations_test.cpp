/// What is promised is there and what is there is used: files of their own
/// name, files that comments and pages name, functions that headers declare.

#include "tests/unit/house/declarations.hpp"

#include <gtest/gtest.h>

namespace {

using namespace troupe::house;

struct exception {
  const char* names; ///< Regular expression.
  const char* why;
};

// Sources without a header of their own name.
const exception headless[] = {
  {"kernels/ops_\\w+\\.cpp", "tables of kernels/ops.hpp"},
  {"kernels/cpu/\\w+_kernels\\.cpp", "loops that kernels/cpu/fill.hpp names"},
  {"kernels/cpu/"
   "(dense|experts|latent|router|rows|sample|m[lh]a_attention)\\.cpp",
   "operations of kernels/cpu/operations.hpp"},
  {"kernels/cpu/(device|dispatch)\\.cpp",
   "the one function of kernels/device.hpp, of kernel_set.hpp"},
  {"kernels/cpu/left_rows\\.cpp", "the rows' half of product.hpp"},
  {"kernels/reference/(attention|experts|router|rows|sample)\\.cpp",
   "operations of kernels/reference/operations.hpp"},
  {"kernels/reference/reference_device\\.cpp", "a function of device.hpp"},
  {"runtime/model/(attention|expert)_stages\\.cpp", "stages of forward.hpp"},
  {"runtime/model/plain_(together|trace)\\.cpp", "parts of plain_impl.hpp"},
  {"runtime/topology_file\\.cpp", "TOML, apart from topology.cpp"},
  {"actors/(attention|balancer|controller|expert_worker|gateway|keeper|peer|"
   "placer|scheduler|supervisor)\\.cpp",
   "an actor is known by its spawn function in actors/cast.hpp"},
};

// Functions of a header that nobody else calls, for the time being or for good.
const exception uncalled[] = {
  {"check_failed|__\\w+", "called by a macro; the compiler's own"},
  {"rms", "part of a sum's interface beside add"},
  {"subtract", "called by the gauge beside it"},
  {"enabled", "private once everything is built anew for runtime/log.hpp"},
  {"abandon", "to move into exchange.cpp"},
  {"crc32c_has_instruction", "to move into crc32c.cpp"},
};

// Files of others that comments name.
const std::regex foreign{"FILE\\.toml|(ik_)?llama\\.cpp|docs/gguf\\.md|"
                         "modeling_deepseek\\.py|encoder\\.py"};

const char* why(const exception* first, const exception* end,
                const std::string& name) {
  for (; first != end; ++first)
    if (std::regex_match(name, std::regex{first->names}))
      return first->why;
  return nullptr;
}

std::string folder_of(const std::string& path) {
  return path.substr(0, path.find('/'));
}

std::string at(const source_file& file, size_t line) {
  return file.path + ":" + std::to_string(line) + ": ";
}

class Declarations : public testing::Test {
protected:
  Declarations() {
    for (auto& file : files_)
      paths_.insert(file.path);
    for (auto page : {"README.md", "ARCHITECTURE.md", "CMakeLists.txt"})
      paths_.insert(page);
  }

  /// Counts words once for all files.
  void count_words() {
    for (auto& file : files_)
      if (is_cpp(file) || file.path.ends_with(".inl"))
        words_[file.path] = words_of(file.text);
  }

  size_t count_in(const std::string& path, const std::string& word) const {
    auto words = words_.find(path);
    if (words == words_.end())
      return 0;
    auto found = words->second.find(word);
    return found == words->second.end() ? 0 : found->second;
  }

  /// How often a function's name stands where somebody could mean it: for a
  /// public one outside of its declaration and its source, for a private
  /// one beside declaration and definition.
  size_t uses(const source_file& header, const declared_function& f) const {
    auto source = header.path.substr(0, header.path.size() - 4) + ".cpp";
    size_t all = 0, own = 0;
    for (auto& [path, words] : words_) {
      auto count = count_in(path, f.name);
      all += count;
      own += path == header.path || path == source ? count : 0;
    }
    auto said = size_t{f.has_body ? 1u : 2u};
    if (f.is_private)
      return all > said ? all - said : 0;
    // A header may call itself: one class of it another.
    return all - own + (count_in(header.path, f.name) - 1);
  }

  bool exists(const source_file& file, const std::string& name) const {
    namespace fs = std::filesystem;
    auto beside = (fs::path{file.path}.parent_path() / name)
                    .lexically_normal()
                    .generic_string();
    if (paths_.contains(name) || paths_.contains(beside))
      return true;
    for (auto& path : paths_)
      if (path.ends_with("/" + name))
        return true;
    return false;
  }

  const std::vector<source_file> files_ = read_tree();
  std::set<std::string> paths_;
  std::map<std::string, word_counts> words_;
};

} // namespace

TEST_F(Declarations, EverySourceHasAHeaderOfItsName) {
  const std::set<std::string> held{"kernels", "runtime", "actors"};
  for (auto& file : files_) {
    if (!file.path.ends_with(".cpp") || !held.contains(folder_of(file.path)))
      continue;
    auto header = file.path.substr(0, file.path.size() - 4) + ".hpp";
    auto excused = why(std::begin(headless), std::end(headless), file.path);
    EXPECT_NE(paths_.contains(header), excused != nullptr)
      << file.path
      << (excused ? " has a header now: strike it from the table"
                  : " declares nothing that others could find");
  }
}

TEST_F(Declarations, EveryFunctionOfAHeaderIsCalledBySomebodyElse) {
  const std::set<std::string> held{"kernels", "runtime", "actors", "deploy"};
  count_words();
  for (auto& file : files_) {
    if (!file.path.ends_with(".hpp") || !held.contains(folder_of(file.path)))
      continue;
    for (auto& f : declarations_of(file.text)) {
      auto excused = why(std::begin(uncalled), std::end(uncalled), f.name);
      EXPECT_TRUE(excused || uses(file, f) > 0)
        << at(file, f.line) << f.name
        << (f.is_private ? " is not used: remove it"
                         : " is used by its own file alone: make it private, "
                           "or remove it");
    }
  }
}

TEST_F(Declarations, FilesThatCommentsAndPagesNameExist) {
  auto files = files_;
  for (auto page : {"README.md", "ARCHITECTURE.md"}) {
    std::ifstream in{source_dir() / page};
    std::ostringstream text;
    text << in.rdbuf();
    files.push_back({page, text.str(), split_lines(text.str())});
  }
  const std::regex paper{"\\[[A-Z]{4,} [0-9.]+\\]"};
  for (auto& file : files) {
    if (!is_cpp(file) && !has_suffix(file.path, {".md", ".inl", ".capnp"}))
      continue;
    auto lines = said_in(file);
    for (size_t i = 0; i < lines.size(); ++i) {
      for (auto& name : file_names_in(lines[i]))
        EXPECT_TRUE(exists(file, name) || std::regex_match(name, foreign))
          << at(file, i + 1) << "there is no " << name;
      EXPECT_FALSE(std::regex_search(lines[i], paper))
        << at(file, i + 1) << "a paper that is not here\n  " << lines[i];
    }
  }
}

TEST(DeclarationsOf, AHeaderAreFoundWithTheirAccess) {
  auto found = declarations_of("int free_one(int x = g(3));\n"
                               "inline bool with_body() {\n"
                               "  return called();\n"
                               "}\n"
                               "class a : public b {\n"
                               "  void hidden();\n"
                               "public:\n"
                               "  explicit a(int x) : x_(x) {\n"
                               "  }\n"
                               "  const std::vector<int>& shown() const;\n"
                               "private:\n"
                               "  std::function<void(int)> fn_ = nullptr;\n"
                               "  struct inner {\n"
                               "    int size() const;\n"
                               "  };\n"
                               "};\n"
                               "struct c {\n"
                               "  int* open(std::function<int()> f);\n"
                               "  int x = y();\n"
                               "};\n");
  std::vector<std::string> names;
  for (auto& f : found)
    names.push_back(std::to_string(f.line) + " " + f.name
                    + (f.is_private ? " private" : "")
                    + (f.has_body ? " with body" : ""));
  EXPECT_EQ(names, (std::vector<std::string>{
                     "1 free_one", "2 with_body with body", "6 hidden private",
                     "10 shown", "14 size private", "18 open"}));
}

TEST(DeclarationsOf, WordsAreThoseOfCodeAndMacros) {
  auto words = words_of("#include \"one.hpp\"\n#define two three(x)\n"
                        "int four; // five\nauto s = \"six\";\n");
  EXPECT_EQ(words.count("three") + words.count("four"), 2u);
  EXPECT_EQ(words.count("one") + words.count("five") + words.count("six"), 0u);
}

TEST(FileNames, AreFoundInSentences) {
  EXPECT_EQ(file_names_in("see `a/b_c.hpp`, (d.cpp) and e.md; not f_*.cpp."),
            (std::vector<std::string>{"a/b_c.hpp", "d.cpp", "e.md"}));
}
