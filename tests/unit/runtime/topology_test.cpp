#include "runtime/topology.hpp"

#include "tests/places.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <utility>

namespace {

using namespace troupe;

std::vector<uint32_t> ids(std::initializer_list<uint32_t> xs) {
  return xs;
}

const char* front = R"([[nodes]]
name = "front"
gateway = true
controller = true
)";

std::string complaint_about(const std::string& text) {
  auto x = parse_topology(text, "t.toml");
  return x ? "" : x.why().message;
}

} // namespace

TEST(Topology, NumbersRanksAndWorkersInTheOrderOfTheNodes) {
  auto x = parse_topology(std::string{front} + R"(
[[nodes]]
name = "a"
ranks = 2
[[nodes]]
name = "b"
ranks = 1
workers = 3
[[nodes]]
name = "c"
workers = [3, 4]
)",
                          "t.toml");
  ASSERT_TRUE(x) << x.why().message;
  EXPECT_EQ(x->nodes[1].ranks, ids({0, 1}));
  EXPECT_EQ(x->nodes[2].ranks, ids({2}));
  EXPECT_EQ(x->nodes[2].workers, ids({0, 1, 2}));
  EXPECT_EQ(x->nodes[3].workers, ids({3, 4}));
  EXPECT_EQ(x->num_ranks(), 3u);
  EXPECT_EQ(x->num_workers(), 5u);
  EXPECT_EQ(x->node_of_rank(2), 2);
  EXPECT_EQ(x->node_of_worker(4), 3);
  EXPECT_EQ(x->find("c"), node_id{3});
  EXPECT_FALSE(x->find("d"));
}

TEST(Topology, ReadsEveryKey) {
  auto x = parse_topology(R"(cluster = "demo"
model = "m"
secret_file = "s"
controller = "[::1]:7700"
activations = "bf16"
max_model_len = 256
[limits]
max_num_seqs = 8
max_num_batched_tokens = 64
max_num_waiting = 9
num_kv_blocks = 10
max_frame_bytes = 5000
step_timeout_ms = 11
micro_batches = 2
max_itl_ms = 40
[[nodes]]
name = "solo"
host = "10.0.0.1"
gateway = true
controller = true
ranks = 1
workers = 1
)",
                          "t.toml");
  ASSERT_TRUE(x) << x.why().message;
  EXPECT_EQ(x->cluster, "demo");
  EXPECT_EQ(x->model, "m");
  EXPECT_EQ(x->secret_file, "s");
  EXPECT_EQ(x->controller.host, "::1");
  EXPECT_EQ(x->controller.port, 7700);
  EXPECT_EQ(x->activations, precision::bf16);
  EXPECT_EQ(x->max_model_len, 256u);
  EXPECT_EQ(x->limits, (topology_limits{8, 64, 9, 10, 5000, 11, 2, 40}));
  EXPECT_EQ(x->nodes[0].host, "10.0.0.1");
}

TEST(Topology, UnitsTakeTheNextFreeNumbersOrNameThem) {
  auto nodes = std::string{front} + "ranks = 4\nworkers = 6\n";
  auto x = parse_topology(nodes + R"(
[[units]]
name = "a"
role = "prefill"
ranks = 1
workers = 2
num_redundant_experts = 3
spare_expert_slots = 2
[[units]]
name = "b"
role = "decode"
ranks = [3, 1, 2]
workers = 4
)",
                          "t.toml");
  ASSERT_TRUE(x) << x.why().message;
  ASSERT_EQ(x->units.size(), 2u);
  EXPECT_EQ(x->units[0], (topology_unit{"a", unit_role::prefill, ids({0}),
                                        ids({0, 1}), 3, 2}));
  EXPECT_EQ(x->units[1], (topology_unit{"b", unit_role::decode, ids({3, 1, 2}),
                                        ids({2, 3, 4, 5})}));
  EXPECT_EQ(x->all_units(), x->units);
  auto again = parse_topology(render(*x), "rendered");
  ASSERT_TRUE(again) << again.why().message;
  EXPECT_EQ(again->units, x->units);
}

TEST(Topology, WithoutUnitsIsOneOfEverything) {
  auto x = local(4, 2, 3);
  EXPECT_TRUE(x.units.empty());
  EXPECT_EQ(x.all_units(),
            (std::vector{topology_unit{"main", unit_role::both, ids({0, 1}),
                                       ids({0, 1, 2})}}));
  EXPECT_EQ(render(x).find("units"), std::string::npos);
}

TEST(Topology, NamesTheUnitThatIsWrong) {
  auto with = [](const std::string& units) {
    return complaint_about(std::string{front} + "ranks = 2\nworkers = 2\n"
                           + units);
  };
  auto a = std::string{"[[units]]\nname = \"a\"\n"};
  EXPECT_EQ(with(a + "ranks = 2\nworkers = 2\n"), "");
  for (auto& [text, key] : std::vector<std::pair<std::string, std::string>>{
         {"[units]\n", "units must be a list"},
         {a + "speed = 1\n", "units[0]: speed is not a key"},
         {a + "role = \"draft\"\n", "role must be prefill, decode or both"},
         {a + "ranks = 2\n", "needs at least one rank and one worker"},
         {a + "ranks = 1\nworkers = 2\n", "2 ranks, but only 1 of them"},
         {a + "ranks = 2\nworkers = 3\n",
          "no node has number 2 of the workers"},
         {a + "ranks = [0, 1, 1]\nworkers = 2\n", "number 1 of the ranks"},
         {a + "ranks = 1\nworkers = 1\n" + a + "ranks = 1\nworkers = 1\n",
          "units[1]: name a is taken"},
         {a + "ranks = 2\nworkers = 2\nnum_redundant_experts = 32769\n",
          "num_redundant_experts must be at most"},
         {a + "ranks = 2\nworkers = 2\nspare_expert_slots = 1025\n",
          "spare_expert_slots must be at most"},
       }) {
    auto why = with(text);
    EXPECT_NE(why.find(key), std::string::npos) << text << " gives " << why;
  }
}

TEST(Topology, WrittenAndReadAgainIsTheSame) {
  auto grows = local(6, 2, 8);
  grows.nodes[2].later = grows.nodes[5].later = true;
  grows.nodes[5].open = true;
  EXPECT_EQ(grows.later_nodes(), (std::set<node_id>{2, 5}));
  for (auto x : {single_process(2, 4), local(4, 2, 8), local(9, 3, 5), grows}) {
    x.cluster = "c-1";
    x.secret_file = "a \"quoted\" \\ name";
    x.controller = {"::1", 7};
    x.activations = precision::fp32;
    x.limits.num_kv_blocks = 77;
    x.limits.max_frame_bytes = 4097;
    x.limits.step_timeout_ms = 78;
    auto text = render(x);
    auto y = parse_topology(text, "rendered");
    ASSERT_TRUE(y) << y.why().message << "\n" << text;
    EXPECT_EQ(render(*y), text);
    EXPECT_EQ(y->nodes, x.nodes);
    EXPECT_EQ(y->secret_file, x.secret_file);
    EXPECT_EQ(y->limits, x.limits);
  }
}

TEST(Topology, HasBlocksForUsualSequencesAndForTheLongest) {
  auto x = single_process(1, 1);
  EXPECT_EQ(x.num_kv_blocks(), 64u * 1024 / 64);
  x.max_model_len = 100; // less than what is usual
  EXPECT_EQ(x.num_kv_blocks(), 64u * 2);
  x.limits.max_num_seqs = 1;
  x.max_model_len = 130'000;
  EXPECT_EQ(x.num_kv_blocks(), 2032u);
  EXPECT_TRUE(validate(x));
  x.limits.num_kv_blocks = 2031;
  EXPECT_EQ(x.num_kv_blocks(), 2031u);
  EXPECT_FALSE(validate(x));
}

TEST(Topology, NamesTheKeyThatIsWrong) {
  auto with = [](const std::string& line) {
    return complaint_about(line + "\n" + front + "ranks = 1\nworkers = 1\n");
  };
  EXPECT_EQ(with(""), "");
  for (auto& [line, key] : std::vector<std::pair<std::string, std::string>>{
         {"speed = 1", "t.toml:1: speed is not a key"},
         {"\n\nspeed = 1", "t.toml:3: speed is not a key"},
         {"cluster = 1", "cluster must be a string"},
         {"cluster = \"A b\"", "cluster must be"},
         {"controller = \"example.org:1\"", "controller must be"},
         {"activations = \"int4\"", "activations must be"},
         {"max_model_len = -1", "max_model_len must be"},
         {"max_model_len = 1.5", "max_model_len must be"},
         {"max_model_len = 0", "max_model_len must be"},
         {"limits = 1", "limits must be a table"},
         {"limits = {max_num_seqs = 0}", "max_num_seqs must be"},
         {"limits = {kv = 1}", "limits: kv is not a key"},
         {"limits = {num_kv_blocks = 1}", "num_kv_blocks"},
         {"limits = {max_num_waiting = 1048577}", "max_num_waiting must be"},
         {"limits = {num_kv_blocks = 67108865}", "num_kv_blocks must be"},
         {"limits = {max_frame_bytes = 4095}", "max_frame_bytes must be"},
         {"limits = {max_frame_bytes = 16777217}", "max_frame_bytes must be"},
         {"limits = {step_timeout_ms = 0}", "step_timeout_ms must be"},
         {"cluster = ", "t.toml:1"},
         {R"(cluster = "a\u0000b")", "cluster must not hold a NUL"},
         {R"(model = "/m\u0000x")", "model must not hold a NUL"},
         {R"(secret_file = "s\u0000")", "secret_file must not hold a NUL"},
         {R"(controller = "127.0.0.1\u0000:1")",
          "controller must not hold a NUL"},
       }) {
    auto why = with(line);
    EXPECT_NE(why.find(key), std::string::npos) << line << " gives " << why;
    EXPECT_TRUE(why.starts_with("t.toml")) << why;
  }
}

TEST(Topology, NamesTheNodeThatIsWrong) {
  auto with = [](const std::string& text) {
    return complaint_about(front + text);
  };
  for (auto& [text, key] : std::vector<std::pair<std::string, std::string>>{
         {"ranks = 1", "workers: no node has any"},
         {"workers = 1", "ranks: no node has any"},
         {"ranks = -1", "nodes[0]: ranks must be"},
         {"ranks = 5000", "nodes[0]: ranks must be"},
         {"ranks = [0, 2]\nworkers = 1", "from 0 to 1 without a gap"},
         {"ranks = [0, 0]\nworkers = 1", "number 0 stands on two nodes"},
         {"ranks = 1\nworkers = 1\ngpu = 1",
          "t.toml:7: nodes[0]: gpu is not a key"},
         {"host = \"example.org\"", "nodes[0]: host must be"},
         {R"(host = "127.0.0.1\u0000.evil")", "host must not hold a NUL"},
         {"[[nodes]]\nname = \"front\"", "nodes[1]: name front is taken"},
         {"[[nodes]]\nname = \"b\"\ncontroller = true",
          "nodes[1]: controller must be"},
         {"[[nodes]]\nname = \"b\"\ngateway = true", "exactly one node"},
         {"later = true", "nodes[0]: later must not be true on the first node"},
         {"later = 1", "nodes[0]: later must be"},
         {"open = true", "nodes[0]: later must not be true on the first node"},
         {"open = 0", "nodes[0]: open must be true or a number"},
         {"open = \"no\"", "nodes[0]: open must be true or a number"},
         {"ranks = 1\nworkers = 1\n[[nodes]]\nopen = true",
          "nodes[1]: an open place is of ranks or workers"},
         {"ranks = 1\nworkers = 1\n[[nodes]]\nopen = 1024\nranks = 1",
          "open makes more nodes"},
         {"ranks = 1\nworkers = 1\n[[nodes]]\nopen = 2\nname = \"b\"\n"
          "ranks = 1",
          "name b is taken"},
         {"ranks = 1\n[[nodes]]\nname = \"b\"\nworkers = 1\nlater = true",
          "unit main has no worker but on nodes that come later"},
         {"workers = 1\n[[nodes]]\nname = \"b\"\nranks = 1\nlater = true",
          "unit main has no rank but on nodes that come later"},
       }) {
    auto why = with(text);
    EXPECT_NE(why.find(key), std::string::npos) << text << " gives " << why;
  }
  EXPECT_NE(complaint_about("nodes = 3").find("nodes must be a list"),
            std::string::npos);
  EXPECT_NE(complaint_about("").find("nodes must be a list"),
            std::string::npos);
}

TEST(Topology, OpenPlacesStandForSoManyAlike) {
  auto x = parse_topology("[[nodes]]\nname = \"a\"\ngateway = true\n"
                          "controller = true\nranks = 1\nworkers = 1\n"
                          "[[nodes]]\nopen = 3\nranks = 1\nworkers = 2\n"
                          "[[nodes]]\nname = \"b\"\nopen = true\nranks = 1",
                          "a test");
  ASSERT_TRUE(x) << x.why().message;
  ASSERT_EQ(x->nodes.size(), 5u);
  EXPECT_EQ(x->later_nodes(), (std::set<node_id>{1, 2, 3, 4}));
  EXPECT_EQ(x->nodes[2].name, "place-2");
  EXPECT_EQ(x->nodes[4].name, "b");
  EXPECT_EQ(x->nodes[2].ranks, (std::vector<uint32_t>{2}));
  EXPECT_EQ(x->nodes[3].workers, (std::vector<uint32_t>{5, 6}));
  EXPECT_EQ(x->nodes[4].ranks, (std::vector<uint32_t>{4}));
}

TEST(Topology, RefusesANulThatComesFromNoFile) {
  using namespace std::string_literals;
  auto x = single_process(1, 1);
  x.nodes[0].host = "127.0.0.1\0.evil"s;
  EXPECT_EQ(validate(x).why().message,
            "nodes[0]: host must be a numeric address");
  x = single_process(1, 1);
  x.controller.host = "::1\0"s;
  EXPECT_FALSE(validate(x));
  x = single_process(1, 1);
  x.model = "/m\0"s;
  EXPECT_FALSE(validate(x));
  EXPECT_FALSE(parse_endpoint("127.0.0.1\0:7000"s));
  EXPECT_FALSE(parse_endpoint("[::1\0]:7000"s));
}

TEST(Topology, FourLocalNodesSplitFrontRanksAndWorkers) {
  auto x = local(4, 2, 8);
  ASSERT_TRUE(validate(x));
  ASSERT_EQ(x.nodes.size(), 4u);
  EXPECT_TRUE(x.nodes[0].gateway && x.nodes[0].controller);
  EXPECT_TRUE(x.nodes[0].ranks.empty() && x.nodes[0].workers.empty());
  EXPECT_EQ(x.nodes[1].ranks, ids({0, 1}));
  EXPECT_EQ(x.nodes[2].workers, ids({0, 1, 2, 3}));
  EXPECT_EQ(x.nodes[3].workers, ids({4, 5, 6, 7}));
}

TEST(Topology, LocalIsValidForEverySmallShape) {
  for (uint32_t n = 1; n <= 12; ++n)
    for (uint32_t dp = 1; dp <= 5; ++dp)
      for (uint32_t ep = 1; ep <= 9; ++ep) {
        auto x = local(n, dp, ep);
        auto ok = validate(x);
        ASSERT_TRUE(ok) << n << " " << dp << " " << ep << ok.why().message;
        EXPECT_EQ(x.num_ranks(), dp);
        EXPECT_EQ(x.num_workers(), ep);
        EXPECT_LE(x.nodes.size(), n);
        for (size_t i = 1; i < x.nodes.size(); ++i)
          EXPECT_FALSE(x.nodes[i].ranks.empty() && x.nodes[i].workers.empty());
      }
}

TEST(Topology, EveryExampleIsValid) {
  auto root = source_dir();
  int num_read = 0;
  for (auto& file :
       std::filesystem::directory_iterator{root / "examples/topologies"}) {
    auto x = read_topology(file.path());
    EXPECT_TRUE(x) << x.why().message;
    ++num_read;
  }
  EXPECT_GE(num_read, 2);
}

TEST(Topology, PathsInAFileAreMeantFromItsFolder) {
  auto root = source_dir();
  auto x = read_topology(root / "examples/topologies/four_nodes.toml");
  ASSERT_TRUE(x) << x.why().message;
  EXPECT_EQ(x->model, (root / "examples/nano/model").string());
  auto missing = read_topology(root / "examples/topologies/none.toml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.why().code, errc::not_found);
}

TEST(Topology, AnEndpointIsANumericHostAndAPort) {
  auto v4 = parse_endpoint("127.0.0.1:80");
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->host, "127.0.0.1");
  EXPECT_EQ(v4->port, 80);
  auto v6 = parse_endpoint("[fe80::1]:65535");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->host, "fe80::1");
  EXPECT_EQ(v6->port, 65535);
  auto name = parse_endpoint("localhost:1");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->host, "127.0.0.1");
  for (auto text : {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                    "127.0.0.1:8x", "::1:80", "example.org:80", "[::1]80"})
    EXPECT_FALSE(parse_endpoint(text)) << text;
}
