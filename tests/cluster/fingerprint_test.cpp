/// Whose tokens would be others is refused by name, and says why; whoever
/// differs in nothing that decides serves. Real processes with models of their
/// own.

#include "tests/cluster/child_process.hpp"
#include "tests/cluster/company_fixture.hpp"
#include "tests/model_files.hpp"

#include <nlohmann/json.hpp>

namespace troupe {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::chrono::seconds patience{60};
constexpr auto o_proj = "model.layers.1.self_attn.o_proj.weight";
constexpr auto expert = "model.layers.2.mlp.experts.3.down_proj.weight";

/// A front without parts in this process, a rank and two workers in processes
/// of their own, one of which has its own copy of the model.
class Fingerprint : public testing::Test {
protected:
  Fingerprint() : scratch_(scratch_dir()), copy_(scratch_ / "copy") {
    fs::create_directory(copy_);
    for (auto& entry : fs::directory_iterator{nano_model()})
      fs::copy_file(entry.path(), copy_ / entry.path().filename());
  }

  /// Starts the front.
  void open() {
    company_options options;
    options.cluster = local(3, 1, 2);
    options.cluster.max_model_len = 512;
    options.cluster.limits.num_kv_blocks = 64;
    options.model_dir = nano_model();
    options.node.num_threads = 1;
    options.node.target = "reference"; // it computes nothing
    options.node.cache_dir = scratch_ / "cache";
    auto made = company::start(options);
    EXPECT_TRUE(made) << made.why().message;
    company_ = std::move(*made);
  }

  /// Starts all; the node named `other` reads the copy. Returns how it went:
  /// empty, or why not.
  std::string start(const std::string& other) {
    open();
    for (node_id n : {1, 2})
      nodes_.push_back(spawn(name_of(n), other));
    return outcome();
  }

  std::string outcome() {
    auto ready = company_->wait_until_ready(patience);
    return ready ? "" : ready.why().message;
  }

  child_process spawn(const std::string& name, const std::string& other) {
    auto address = company_->address();
    std::vector<std::string> args{
      "node",
      "--join",
      address.host + ":" + std::to_string(address.port),
      "--name",
      name,
      "--threads",
      "1",
      "--log-level",
      "error"};
    if (name == other)
      args.insert(args.end(), {"--model", copy_});
    return child_process{args};
  }

  /// Starts with the copy at `other`, whom the front refuses for `words`; its
  /// process ends and says so.
  void expect_refusal(const std::string& other, const std::string& words) {
    auto why = start(other);
    EXPECT_NE(why.find("node " + other + " "), std::string::npos) << why;
    EXPECT_NE(why.find(words), std::string::npos) << why;
    EXPECT_NE(why.find(": its tokens would differ"), std::string::npos) << why;
    auto i = other == name_of(1) ? 0 : 1;
    EXPECT_EQ(nodes_[i].wait(patience), 1);
  }

  static std::string name_of(node_id node) {
    return local(3, 1, 2).nodes[node].name;
  }

  /// Changes the sign of one element in the middle of a tensor.
  void damage(const std::string& tensor) {
    auto bytes = read_text(copy_ / "model.safetensors");
    auto place = header_of(bytes).at(tensor).at("data_offsets");
    uint64_t first = place.at(0), end = place.at(1);
    auto at = 8 + header_size(bytes) + (first + end) / 2;
    bytes[at | 1] ^= char(0x80); // of BF16 the upper half
    write_text(copy_ / "model.safetensors", bytes);
  }

  static uint64_t header_size(const std::string& file) {
    uint64_t out = 0;
    std::memcpy(&out, file.data(), sizeof out);
    return out;
  }

  static json header_of(const std::string& file) {
    return json::parse(file.substr(8, header_size(file)));
  }

  template <class Edit>
  void edit_json(const std::string& name, Edit edit) {
    auto content = json::parse(read_text(copy_ / name));
    edit(content);
    write_text(copy_ / name, content.dump());
  }

  fs::path scratch_;
  fs::path copy_;
  std::unique_ptr<company> company_;
  std::vector<child_process> nodes_; ///< By node id - 1.
};

TEST_F(Fingerprint, AByteInTheMiddleOfARanksTensorIsFound) {
  damage(o_proj);
  expect_refusal(name_of(1), "its tensor " + std::string{o_proj});
}

TEST_F(Fingerprint, AByteInTheMiddleOfAWorkersTensorIsFound) {
  damage(expert);
  expect_refusal(name_of(2), "its tensor " + std::string{expert});
}

TEST_F(Fingerprint, ANumberOfTheConfigurationIsFound) {
  edit_json("config.json", [](auto& x) { x["rope_theta"] = 500000.0; });
  expect_refusal(name_of(1), "its rope_theta is 500000, the controller's is");
}

TEST_F(Fingerprint, AnotherTokenizerIsFound) {
  edit_json("tokenizer.json", [](auto& x) {
    auto& words = x["model"]["vocab"];
    std::swap(words["a"], words["b"]);
  });
  expect_refusal(name_of(2), "its tokenizer.json is ");
}

TEST_F(Fingerprint, AnotherEndTokenIsFound) {
  edit_json("generation_config.json", [](auto& x) { x["eos_token_id"] = 7; });
  expect_refusal(name_of(1), "its eos_token_ids is 7, the controller's is");
}

TEST_F(Fingerprint, AnotherTargetIsFoundAmongThoseWhoCompute) {
  open();
  member_options odd;
  odd.controller = company_->address();
  odd.name = name_of(1);
  odd.node.num_threads = 1;
  odd.node.target = "reference";
  auto member = member_node::start(odd);
  ASSERT_TRUE(member) << member.why().message;
  nodes_.push_back(spawn(name_of(2), ""));
  auto why = outcome();
  EXPECT_NE(why.find("it computes with "), std::string::npos) << why;
  for (auto word : {" reference", "node attention-0", "node experts-0"})
    EXPECT_NE(why.find(word), std::string::npos) << why;
}

TEST_F(Fingerprint, WhatDecidesNothingMayDiffer) {
  edit_json("config.json", [](auto& x) { x["initializer_range"] = 0.5; });
  fs::remove(copy_ / "tokenizer_config.json"); // the front's alone
  auto bytes = read_text(copy_ / "model.safetensors");
  auto header = header_of(bytes);
  header["__metadata__"] = {{"format", "pt"}};
  auto text = header.dump();
  uint64_t size = text.size();
  std::string head(8, '\0');
  std::memcpy(head.data(), &size, sizeof size);
  write_text(copy_ / "model.safetensors",
             head + text + bytes.substr(8 + header_size(bytes)));
  damage(expert); // of the workers, and these read another file
  ASSERT_EQ(start(name_of(1)), "");
  expect_equal(ask_all(*company_, reference_requests()),
               ask_plain(nano_model(), precision::fp8, reference_requests()));
}

/// The measure is what lies in the directory now, not what was kept of it.
TEST_F(Fingerprint, WhatWasKeptOfTheModelIsTheSameMeasure) {
  ASSERT_EQ(start(name_of(1)), "");
  company_.reset();
  nodes_.clear();
  ASSERT_FALSE(fs::is_empty(scratch_ / "cache"));
  damage(o_proj);
  expect_refusal(name_of(1), "its tensor " + std::string{o_proj});
}

} // namespace

} // namespace troupe
