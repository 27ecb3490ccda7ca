#include "runtime/quantity.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

constexpr quantity_unit units[] = {{"kb", 1000}, {"b", 1}};

std::optional<int64_t> read(std::string_view text) {
  return parse_quantity(text, units);
}

} // namespace

TEST(Quantity, IsCountedInTheSmallestUnit) {
  EXPECT_EQ(read("7b"), 7);
  EXPECT_EQ(read("7kb"), 7000);
  EXPECT_EQ(read("0.25kb"), 250);
  EXPECT_EQ(read("999999999999999b"), 999'999'999'999'999);
}

TEST(Quantity, RefusesWhatIsNoneOrHasNoEnd) {
  for (auto text : {"", "b", "kb", "7", "7 b", "-7b", "7.b", ".7kb", "0.1b",
                    "0.0001kb", "7tb", "1000000000000000b", "1000000000000kb"})
    EXPECT_FALSE(read(text)) << text;
}
