#include "runtime/checkpoint/safetensors.hpp"

#include "tests/model_files.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace troupe {
namespace {

std::string file_of(std::string_view header, std::string_view data,
                    uint64_t header_bytes = 0) {
  uint64_t size = header_bytes ? header_bytes : header.size();
  std::string out;
  for (int i = 0; i < 8; ++i)
    out += static_cast<char>(size >> (8 * i));
  return out + std::string{header} + std::string{data};
}

result<tensor_map> parse(const std::string& file) {
  return parse_safetensors("x",
                           std::as_bytes(std::span{file.data(), file.size()}));
}

std::string why(const std::string& file) {
  auto out = parse(file);
  return out ? "accepted" : out.why().message;
}

TEST(Safetensors, ReadsNamesTypesShapesAndBytes) {
  auto file = file_of(R"({"__metadata__":{"format":"pt"},)"
                      R"("b":{"dtype":"U8","shape":[],"data_offsets":[8,9]},)"
                      R"("a":{"dtype":"BF16","shape":[2,2],)"
                      R"("data_offsets":[0,8]},)"
                      R"("e":{"dtype":"F32","shape":[0,3],)"
                      R"("data_offsets":[8,8]}})",
                      "12345678z");
  auto out = parse(file);
  ASSERT_TRUE(out) << out.why().message;
  ASSERT_EQ(out->size(), 3u);
  auto& a = out->at("a");
  EXPECT_EQ(a.dtype, tensor_type::bf16);
  EXPECT_EQ(shape_text(a.shape), "[2, 2]");
  EXPECT_EQ(a.num_elements(), 4u);
  EXPECT_EQ(static_cast<char>(out->at("b").bytes[0]), 'z');
  EXPECT_EQ(out->at("e").num_elements(), 0u);
}

TEST(Safetensors, RefusesEachBrokenRuleWithOneSentence) {
  auto one = [](const std::string& entry) {
    return why(file_of("{\"t\":" + entry + "}", "abcd"));
  };
  auto u8 = [](const std::string& rest) {
    return R"({"dtype":"U8",)" + rest + "}";
  };
  EXPECT_EQ(one(u8(R"("shape":[4],"data_offsets":[0,4])")), "accepted");
  EXPECT_EQ(one(u8(R"("shape":[3],"data_offsets":[0,4])")),
            "x: tensor t has 4 bytes where its shape needs 3");
  EXPECT_EQ(one(u8(R"("shape":[5],"data_offsets":[0,5])")),
            "x: tensor t has data_offsets outside of the file");
  EXPECT_EQ(one(u8(R"("shape":[4],"data_offsets":[4,0])")),
            "x: tensor t has data_offsets outside of the file");
  EXPECT_EQ(one(u8(R"("shape":[3],"data_offsets":[1,4])")),
            "x: tensor t follows a hole");
  EXPECT_EQ(one(u8(R"("shape":[3],"data_offsets":[0,3])")),
            "x: 1 bytes after the last tensor belong to none");
  EXPECT_EQ(one(R"({"dtype":"F4","shape":[4],"data_offsets":[0,4]})"),
            "x: tensor t has an unknown dtype");
  EXPECT_EQ(one(u8(R"("shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,4])")),
            "x: tensor t has no valid shape of at most 8 dimensions");
  EXPECT_EQ(one(u8(R"("shape":[4294967296,4294967296],"data_offsets":[0,0])")),
            "x: tensor t has no valid shape of at most 8 dimensions");
  EXPECT_EQ(one(u8(R"("shape":[-4],"data_offsets":[0,4])")),
            "x: tensor t has no valid shape of at most 8 dimensions");
  EXPECT_EQ(one(u8(R"("shape":[4])")),
            "x: tensor t must have dtype, shape and data_offsets and nothing "
            "else");
}

TEST(Safetensors, RefusesOverlapDuplicatesAndStrangeNames) {
  auto t = [](const char* begin, const char* end) {
    return std::string{R"({"dtype":"U8","shape":[3],"data_offsets":[)"} + begin
           + "," + end + "]}";
  };
  EXPECT_EQ(why(file_of("{\"a\":" + t("0", "3") + ",\"b\":" + t("2", "5") + "}",
                        "abcde")),
            "x: tensor b overlaps another one");
  EXPECT_EQ(why(file_of("{\"a\":" + t("0", "3") + ",\"a\":" + t("0", "3") + "}",
                        "abc")),
            "x: the header has the key \"a\" twice");
  EXPECT_EQ(why(file_of("{\"a\\n\":" + t("0", "3") + "}", "abc")),
            "x: a tensor's name is not 1 to 512 printable characters");
  EXPECT_EQ(
    why(file_of("{\"" + std::string(513, 'a') + "\":" + t("0", "3") + "}",
                "abc")),
    "x: a tensor's name is not 1 to 512 printable characters");
  EXPECT_EQ(why(file_of(R"({"__metadata__":{"a":1}})", "")),
            "x: tensor __metadata__ must map strings to strings");
}

TEST(Safetensors, RefusesHeadersThatAreNone) {
  EXPECT_EQ(why("1234567"), "x is shorter than 8 bytes: no safetensors file");
  EXPECT_EQ(why(file_of("{}", "", 100'000'001)),
            "x has a header of more than 100 MB");
  EXPECT_EQ(why(file_of("{}", "", UINT64_MAX)),
            "x has a header of more than 100 MB");
  EXPECT_EQ(why(file_of("{}", "", 3)), "x ends within its header");
  EXPECT_EQ(why(file_of(" {}", "")), "x has a header that is no JSON object");
  EXPECT_EQ(why(file_of("{\"a\":[[[[1]]]]}", "")),
            "x: the header is nested too deeply");
  EXPECT_EQ(why(file_of("{\"\xff\":1}", "")),
            "x: the header is no JSON from byte 3 on");
  EXPECT_EQ(why(file_of("{\"a\":", "")),
            "x: the header is no JSON from byte 6 on");
}

/// Changes a few bytes of the header of `good`, and may cut the end off.
std::string mutate(std::string good, std::mt19937& random) {
  auto header
    = 8 + (static_cast<uint8_t>(good[0]) | static_cast<uint8_t>(good[1]) << 8);
  for (auto n = random() % 4; n > 0; --n) {
    auto at = random() % static_cast<uint32_t>(header);
    good[at] = random() % 2 ? static_cast<char>('0' + random() % 10)
                            : static_cast<char>(random());
  }
  if (random() % 4 == 0)
    good.resize(random() % good.size());
  return good;
}

/// Changed and cut files are refused or describe memory that is there.
TEST(Safetensors, StaysInsideOfMutatedFiles) {
  auto good = read_text(golden_case("v2-greedy") / "model.safetensors");
  ASSERT_LT(static_cast<uint8_t>(good[2]), 1) << "the header is short";
  size_t refused = 0;
  for (uint32_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    auto file = mutate(good, random);
    auto out = parse(file);
    if (!out) {
      ++refused;
      EXPECT_FALSE(out.why().message.empty());
      continue;
    }
    auto begin = reinterpret_cast<const std::byte*>(file.data());
    for (auto& [name, view] : *out) {
      EXPECT_GE(view.bytes.data(), begin);
      EXPECT_LE(view.bytes.data() + view.bytes.size(), begin + file.size());
    }
  }
  EXPECT_GT(refused, 250u);
}

TEST(Safetensors, GivesBackWhatWasWritten) {
  safetensors_writer out;
  out.add("f", {2, 1}, std::vector<float>{1.5f, -2});
  out.add("i", {3}, std::vector<int32_t>{1, -2, 3});
  auto path = scratch_dir() / "x.safetensors";
  ASSERT_TRUE(out.write(path));
  auto in = safetensors_file::open(path);
  ASSERT_TRUE(in) << in.why().message;
  EXPECT_EQ(*to_floats("f", *in->find("f")), (std::vector<float>{1.5f, -2}));
  EXPECT_EQ(*to_ints("i", *in->find("i")), (std::vector<int32_t>{1, -2, 3}));
  EXPECT_EQ(in->find("g"), nullptr);
  EXPECT_EQ(to_ints("f", *in->find("f")).why().message,
            "tensor f is F32, expected I32");
}

TEST(Safetensors, DecodesE4m3AndBf16) {
  const char codes[] = {0x00, 0x01,       0x08,       0x38,
                        0x7e, char(0xb8), char(0x80), 0x7f};
  tensor_view x{
    tensor_type::f8_e4m3, {8}, std::as_bytes(std::span{codes, sizeof(codes)})};
  auto y = *to_floats("x", x);
  EXPECT_EQ(y[1], std::ldexp(1.0f, -9));
  EXPECT_EQ(y[2], std::ldexp(1.0f, -6));
  EXPECT_EQ(y[3], 1);
  EXPECT_EQ(y[4], 448);
  EXPECT_EQ(y[5], -1);
  EXPECT_TRUE(y[6] == 0 && std::signbit(y[6]));
  EXPECT_TRUE(std::isnan(y[7]));
  const uint16_t bits[] = {0x3fc0};
  EXPECT_EQ(
    (*to_floats(
      "x", {tensor_type::bf16, {1}, std::as_bytes(std::span{bits, 1})}))[0],
    1.5f);
}

} // namespace
} // namespace troupe
