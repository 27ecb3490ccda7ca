#include "runtime/sim/machine_file.hpp"

#include "runtime/cost/unit_machine.hpp"
#include "tests/places.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

std::string refusal_of(std::string_view text) {
  auto x = parse_world_model(text, "m.toml");
  return x ? "" : x.why().message;
}

TEST(MachineFile, SaysWhatAWorldIsMadeOf) {
  auto x = parse_world_model("[device]\nflops = 2e12\nper_kernel = \"7us\"\n"
                             "[link]\nlatency = \"1.5ms\"\n"
                             "bytes_per_second = 0\nmax_queue_bytes = 4096\n"
                             "[clocks]\ndrift = 5\noffset = \"1s\"\n",
                             "m.toml");
  ASSERT_TRUE(x) << x.why().message;
  EXPECT_EQ(x->device.narrow_flops, 2e12);
  EXPECT_EQ(x->device.attention_flops, 2e12);
  EXPECT_EQ(x->device.per_kernel, 7e-6);
  EXPECT_EQ(x->link.latency, std::chrono::microseconds{1500});
  EXPECT_EQ(x->link.bytes_per_second, 0u);
  EXPECT_EQ(x->link.max_queue, 4096u);
  EXPECT_EQ(x->clocks.drift, 5u);
  EXPECT_EQ(x->clocks.offset, std::chrono::seconds{1});
}

TEST(MachineFile, KeepsWhatItIsNotTold) {
  auto x = parse_world_model("", "m.toml");
  ASSERT_TRUE(x);
  EXPECT_EQ(x->device.wide_flops, modest_device.wide_flops);
  EXPECT_EQ(x->link.latency, link_model{}.latency);
}

TEST(MachineFile, TakesTheDeviceFromATableOfHardware) {
  auto where = source_dir() / "deploy" / "machines";
  auto h800 = read_unit_machine(where / "h800.toml");
  ASSERT_TRUE(h800) << h800.why().message;
  auto x = parse_world_model("hardware = \"h800.toml\"\n"
                             "[device]\ncopied_per_second = 7e9\n",
                             "m.toml", where);
  ASSERT_TRUE(x) << x.why().message;
  EXPECT_EQ(x->device.narrow_flops, h800->gpu.narrow_flops);
  EXPECT_EQ(x->device.per_kernel, h800->gpu.per_kernel);
  EXPECT_EQ(x->device.copied_per_second, 7e9);
  auto missing = parse_world_model("hardware = \"none.toml\"\n", "m.toml",
                                   where);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.why().code, errc::not_found);
}

TEST(MachineFile, NamesWhatIsWrong) {
  for (auto& [text, word] : std::vector<std::pair<const char*, const char*>>{
         {"[device]\nflops = 0\n", "flops"},
         {"[device]\nflops = -1.0\n", "flops"},
         {"[device]\nspeed = 1\n", "speed"},
         {"hardware = \"h800.toml\"\n", "hardware"},
         {"hardware = 800\n", "hardware"},
         {"[link]\nlatency = \"soon\"\n", "latency"},
         {"[link]\nmax_queue_bytes = 0\n", "max_queue_bytes"},
         {"[clocks]\ndrift = 600000\n", "drift"},
         {"[gpu]\n", "gpu"},
         {"[device\n", "m.toml"}}) {
    auto said = refusal_of(text);
    EXPECT_NE(said.find(word), std::string::npos) << text << said;
    EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  }
}

} // namespace
