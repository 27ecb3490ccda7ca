#include "runtime/log.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace troupe {

namespace {

using nlohmann::json;

const std::vector<log_field> fields
  = {{"path", std::string{"/v1"}}, {"status", uint64_t{200}}, {"ms", 1.5}};

TEST(Log, IsReadByPeople) {
  EXPECT_EQ(render_log_line(log_format::text, "T", log_level::info, "http",
                            "a\nb\x7f\x1b[0m", fields),
            "T info http: a\\x0ab\\x7f\\x1b[0m\n");
}

TEST(Log, IsReadByMachines) {
  auto line = render_log_line(log_format::json, "T", log_level::warning, "http",
                              "a\nb \xff\"", fields);
  EXPECT_EQ(line.back(), '\n');
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  auto x = json::parse(line);
  EXPECT_EQ(x["time"], "T");
  EXPECT_EQ(x["level"], "warning");
  EXPECT_EQ(x["who"], "http");
  EXPECT_EQ(x["message"], "a\nb \xef\xbf\xbd\"");
  EXPECT_EQ(x["path"], "/v1");
  EXPECT_EQ(x["status"], 200);
  EXPECT_EQ(x["ms"], 1.5);
}

TEST(Log, HasNoLineLongerThan4KiB) {
  for (auto format : {log_format::text, log_format::json})
    for (size_t size : {4000, 4096, 5000, 100'000})
      for (char c : {'a', '\n', '\xff'}) {
        auto line = render_log_line(format, "T", log_level::info, "http",
                                    std::string(size, c), fields);
        EXPECT_LE(line.size(), 4096u);
        EXPECT_GT(line.size(), 2000u);
        EXPECT_EQ(line.find('\n'), line.size() - 1);
        if (format == log_format::json) {
          EXPECT_EQ(json::parse(line)["status"], 200);
        }
      }
  std::vector<log_field> huge = {{"path", std::string(5000, '\1')}};
  auto line = render_log_line(log_format::json, "T", log_level::info, "http",
                              "well", huge);
  EXPECT_LE(line.size(), 4096u);
  EXPECT_EQ(json::parse(line)["level"], "info");
}

TEST(Log, SaysWhatIsWantedAtPresent) {
  std::vector<std::string> said;
  auto book = std::make_shared<log_book>(
    log_level::warning, log_format::text,
    [&](log_level, const std::string& who, std::string_view line) {
      said.push_back(who + ": " + std::string{line});
    });
  logger log{"a", book};
  log.info("one");
  log.error("two");
  book->set_level(log_level::info);
  EXPECT_TRUE(log.enabled(log_level::info));
  log.info("three");
  log.debug("four");
  EXPECT_EQ(said, (std::vector<std::string>{"a: two", "a: three"}));
}

} // namespace

} // namespace troupe
