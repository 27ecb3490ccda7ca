#include "runtime/transport/crc32c.hpp"
#include "runtime/transport/frame.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

namespace troupe {

namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span{text});
}

std::vector<std::byte> pattern(size_t n) {
  std::vector<std::byte> x(n);
  for (size_t i = 0; i < n; ++i)
    x[i] = std::byte(i * 131 + (i >> 8));
  return x;
}

frame_header sample_header(size_t length) {
  frame_header x;
  x.sequence = 0x4546;
  x.kind = frame_class::dispatch;
  x.layer = 0x0102;
  x.cluster = 0x03040506;
  x.view = 0x0708090a;
  x.epoch = 0x0b0c0d0e;
  x.step = 0x0f101112;
  x.source = 0x1314151617181920;
  x.destination = 0x2122232425262728;
  x.id = 0x2930313233343536;
  x.first = 0x3738394041424344;
  x.length = uint32_t(length);
  return x;
}

auto tied(const frame_header& x) {
  return std::tie(x.sequence, x.version, x.kind, x.layer, x.cluster, x.view,
                  x.epoch, x.step, x.source, x.destination, x.id, x.first,
                  x.length);
}

/// The bytes with their checksum made to fit again.
std::vector<std::byte> resealed(std::vector<std::byte> bytes) {
  std::fill(bytes.begin() + 60, bytes.end(), std::byte{0});
  auto crc = crc32c(bytes);
  std::memcpy(bytes.data() + 60, &crc, 4);
  return bytes;
}

std::vector<std::byte> encoded(const frame_header& header,
                               std::span<const std::byte> payload,
                               bool with_body = false) {
  auto bytes = encode_header(header, payload, {0, with_body});
  return {bytes.begin(), bytes.end()};
}

} // namespace

TEST(Crc32c, GivesThePublishedAnswers) {
  std::vector<std::byte> zeros(32), ones(32, std::byte{0xff}), up(32);
  for (size_t i = 0; i < 32; ++i)
    up[i] = std::byte(i);
  std::vector<std::byte> down{up.rbegin(), up.rend()};
  for (auto f : {crc32c, crc32c_by_table}) { // RFC 3720, B.4
    EXPECT_EQ(f(bytes_of("123456789"), 0), 0xe3069283u);
    EXPECT_EQ(f(zeros, 0), 0x8a9136aau);
    EXPECT_EQ(f(ones, 0), 0x62a8ab43u);
    EXPECT_EQ(f(up, 0), 0x46dd794eu);
    EXPECT_EQ(f(down, 0), 0x113fdb5cu);
    EXPECT_EQ(f({}, 0), 0u);
  }
}

TEST(Crc32c, IsTheSameByInstructionAndByTable) {
  auto data = pattern(5000);
  for (size_t offset = 0; offset < 9; ++offset)
    for (size_t n :
         {0,   1,   7,    8,    9,    63,   64,   65,   191,  192, 193,
          383, 384, 1000, 1535, 1536, 1537, 1728, 3071, 3072, 4099})
      EXPECT_EQ(crc32c(std::span{data}.subspan(offset, n)),
                crc32c_by_table(std::span{data}.subspan(offset, n)));
}

TEST(Crc32c, ContinuesWhereItStopped) {
  auto data = pattern(3100);
  for (size_t cut = 0; cut <= 3100; cut += 31)
    EXPECT_EQ(
      crc32c(std::span{data}.subspan(cut), crc32c(std::span{data}.first(cut))),
      crc32c(data));
}

TEST(Frame, LaysItsFieldsOutAsDocumented) {
  auto bytes = encoded(sample_header(0), {});
  const uint8_t expected[60]
    = {'T',  'R',  0x46, 0x45, 4,    4,    0x02, 0x01, 0x06, 0x05, 0x04, 0x03,
       0x0a, 0x09, 0x08, 0x07, 0x0e, 0x0d, 0x0c, 0x0b, 0x12, 0x11, 0x10, 0x0f,
       0x20, 0x19, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x28, 0x27, 0x26, 0x25,
       0x24, 0x23, 0x22, 0x21, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31, 0x30, 0x29,
       0x44, 0x43, 0x42, 0x41, 0x40, 0x39, 0x38, 0x37, 0,    0,    0,    0};
  ASSERT_EQ(bytes.size(), 64u);
  for (size_t i = 0; i < 60; ++i)
    EXPECT_EQ(uint8_t(bytes[i]), expected[i]) << "byte " << i;
}

TEST(Frame, ReadsWhatItWrote) {
  for (size_t n : {0, 1, 64, 7168})
    for (bool with_body : {false, true}) {
      auto payload = pattern(n);
      auto bytes = encoded(sample_header(n), payload, with_body);
      auto header = decode_header(bytes, payload, {0, with_body});
      ASSERT_TRUE(header) << header.why().message;
      EXPECT_TRUE(tied(*header) == tied(sample_header(n)));
    }
}

TEST(Frame, MayGetItsNumberAfterItsBodyWasSummed) {
  for (auto kind : {frame_class::dispatch, frame_class::bulk})
    for (bool with_body : {false, true}) {
      auto payload = pattern(300);
      frame_seal seal{5, with_body};
      auto header = sample_header(payload.size());
      header.kind = kind;
      header.sequence = 0;
      auto begun = begin_checksum(kind, payload, seal);
      header.sequence = 77;
      auto bytes = encode_header(header, begun);
      EXPECT_EQ(bytes, encode_header(header, payload, seal));
      EXPECT_TRUE(decode_header(bytes, payload, seal));
    }
}

TEST(Frame, OfAnotherConnectionDoesNotFit) {
  auto header = sample_header(0);
  auto bytes = encode_header(header, {}, {.tag = 5});
  EXPECT_TRUE(decode_header(bytes, {}, {.tag = 5}));
  for (uint64_t tag : {0u, 1u, 4u, 6u})
    EXPECT_FALSE(decode_header(bytes, {}, {.tag = tag}));
  EXPECT_FALSE(decode_header(encode_header(header, {}, {}), {}, {.tag = 5}));
}

TEST(Frame, SaysWhereItComesFromBeforeItIsRead) {
  auto header = sample_header(0);
  EXPECT_EQ(source_of(encode_header(header, {}, {})), header.source);
}

TEST(Frame, FindsEveryFlippedBitOfTheHeader) {
  auto payload = pattern(40);
  for (bool with_body : {false, true})
    for (size_t bit = 0; bit < 64 * 8; ++bit) {
      auto bytes = encoded(sample_header(40), payload, with_body);
      bytes[bit / 8] ^= std::byte(1 << bit % 8);
      EXPECT_FALSE(decode_header(bytes, payload, {0, with_body}))
        << "bit " << bit;
    }
}

TEST(Frame, FindsEveryFlippedBitOfTheBodyIfItIsCovered) {
  auto payload = pattern(100);
  auto bytes = encoded(sample_header(100), payload, true);
  for (size_t bit = 0; bit < payload.size() * 8; ++bit) {
    auto other = payload;
    other[bit / 8] ^= std::byte(1 << bit % 8);
    EXPECT_FALSE(decode_header(bytes, other, {0, true})) << "bit " << bit;
  }
}

TEST(Frame, OfBulkCoversItsBodyAlways) {
  auto payload = pattern(100);
  auto header = sample_header(100);
  header.kind = frame_class::bulk;
  auto bytes = encoded(header, payload);
  EXPECT_TRUE(decode_header(bytes, payload, {}));
  for (size_t i = 0; i < payload.size(); ++i) {
    auto other = payload;
    other[i] ^= std::byte{1};
    EXPECT_FALSE(decode_header(bytes, other, {})) << "byte " << i;
  }
}

TEST(Frame, OfBulkHasALimit) {
  for (size_t n : {max_bulk_bytes, max_bulk_bytes + 1}) {
    auto payload = pattern(n);
    auto header = sample_header(n);
    header.kind = frame_class::bulk;
    auto back = decode_header(encoded(header, payload), payload, {});
    EXPECT_EQ(bool(back), n <= max_bulk_bytes);
  }
}

TEST(Frame, IsRefusedAtEveryWrongHeaderSize) {
  auto bytes = encoded(sample_header(0), {});
  for (size_t n = 0; n < 64; ++n) {
    auto header = decode_header(std::span{bytes}.first(n), {}, {});
    ASSERT_FALSE(header);
    EXPECT_EQ(header.why().code, errc::invalid_input);
  }
  bytes.push_back(std::byte{0});
  EXPECT_FALSE(decode_header(bytes, {}, {}));
}

TEST(Frame, IsRefusedIfItsLengthIsNotThatOfItsBody) {
  auto payload = pattern(41);
  auto bytes = encoded(sample_header(40), std::span{payload}.first(40));
  for (size_t n : {0, 39, 41})
    EXPECT_FALSE(decode_header(bytes, std::span{payload}.first(n), {}));
}

TEST(Frame, IsRefusedIfItsVersionOrClassIsUnknown) {
  auto good = encoded(sample_header(0), {});
  EXPECT_TRUE(decode_header(resealed(good), {}, {}));
  for (auto [place, value] :
       {std::pair{4, 0}, {4, 1}, {4, 2}, {4, 3}, {4, 5}, {5, 0}, {5, 7}}) {
    auto bytes = good;
    bytes[place] = std::byte(value);
    EXPECT_FALSE(decode_header(resealed(bytes), {}, {}));
  }
}

TEST(Frame, PacksTheIdOfRowsWithoutLoss) {
  for (rows_id x : {rows_id{}, rows_id{0xffff, 0xff, 0xffffffff},
                    rows_id{1, 3, 4}, rows_id{0x8000, 0x80, 0x80000000}})
    EXPECT_EQ(rows_id::unpack(x.pack()), x);
  EXPECT_EQ((rows_id{1, 2, 3}.pack()), 0x0001'02'00'00000003u);
}

} // namespace troupe
