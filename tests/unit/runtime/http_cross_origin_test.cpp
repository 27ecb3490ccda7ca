/// Which pages of browsers may call the API.

#include "runtime/http/cross_origin.hpp"

#include "tests/unit/runtime/openai_fixture.hpp"

namespace troupe::http {

namespace {

class CrossOrigin : public openai_fixture {
protected:
  void start_for(std::vector<std::string> origins) {
    openai_options options;
    options.keys = {{"secret"}};
    options.allowed_origins = std::move(origins);
    start(std::move(options));
  }

  test::http_answer ask_whether(const std::string& origin,
                                const std::string& path) {
    return fetch("OPTIONS " + path + " HTTP/1.1\r\nHost: x\r\nOrigin: " + origin
                 + "\r\nAccess-Control-Request-Method: POST\r\n"
                   "Access-Control-Request-Headers: authorization,"
                   "content-type\r\n\r\n");
  }
};

constexpr const char* page = "https://chat.example.org";

TEST_F(CrossOrigin, IsAnsweredWithoutAKeyBeforeARequest) {
  start_for({"http://other", page});
  auto got = ask_whether(page, "/v1/chat/completions");
  EXPECT_EQ(got.status, 204);
  EXPECT_EQ(got.headers["access-control-allow-origin"], page);
  EXPECT_EQ(got.headers["access-control-allow-methods"], "POST");
  EXPECT_EQ(got.headers["access-control-allow-headers"],
            "authorization,content-type");
  EXPECT_EQ(got.headers["vary"], "Origin");
  EXPECT_FALSE(got.headers.contains("content-length"));
}

TEST_F(CrossOrigin, AllowsNothingToPagesThatAreNotNamed) {
  start_for({page});
  auto got = ask_whether("https://evil.example.org", "/v1/chat/completions");
  EXPECT_EQ(got.status, 204);
  for (const auto* x : {"origin", "methods", "headers"})
    EXPECT_FALSE(
      got.headers.contains(std::string{"access-control-allow-"} + x));
}

TEST_F(CrossOrigin, IsAskedOfWhatThereIsAlone) {
  start_for({page});
  EXPECT_EQ(ask_whether(page, "/nowhere").status, 401);
  // No question of a browser: as any method that a path does not have.
  EXPECT_EQ(fetch("OPTIONS /v1/models HTTP/1.1\r\nHost: x\r\n"
                  "Authorization: Bearer secret\r\n\r\n")
              .status,
            405);
}

TEST_F(CrossOrigin, LetsANamedPageReadEveryAnswer) {
  start_for({page});
  auto origin = std::string{"Origin: "} + page + "\r\n";
  auto got = fetch(get("/v1/models", origin));
  EXPECT_EQ(got.status, 401);
  EXPECT_EQ(got.headers["access-control-allow-origin"], page);
  got = fetch(get("/v1/models", origin + "Authorization: bearer secret\r\n"));
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.headers["access-control-allow-origin"], page);
  EXPECT_EQ(got.headers["access-control-expose-headers"],
            "X-Request-Id, Retry-After");
  got = fetch(get("/health", "Origin: https://evil.example.org\r\n"));
  EXPECT_FALSE(got.headers.contains("access-control-allow-origin"));
  EXPECT_EQ(got.headers["vary"], "Origin");
  EXPECT_FALSE(fetch(get("/health")).headers.contains("vary"));
}

TEST_F(CrossOrigin, AllowsAllWithAStarAndNobodyByDefault) {
  start_for({"*"});
  EXPECT_EQ(
    ask_whether(page, "/v1/models").headers["access-control-allow-origin"],
    page);
  TearDown();
  start_for({});
  auto got = ask_whether(page, "/v1/models");
  EXPECT_FALSE(got.headers.contains("access-control-allow-origin"));
}

// What any page may send to any server without being asked is no request.
TEST_F(CrossOrigin, TakesNoBodyThatAPageNeedNotAskFor) {
  start();
  auto status = [this](const std::string& headers) {
    return fetch(post("/v1/chat/completions", "{}", headers)).status;
  };
  for (const std::string type :
       {"text/plain", "multipart/form-data", "application/jsonx", "json",
        "text/plain;application/json"})
    EXPECT_EQ(status("Content-Type: " + type + "\r\n"), 415) << type;
  for (const std::string type :
       {"application/json", "Application/JSON; charset=utf-8"})
    for (const std::string from : {"", "Origin: http://x\r\n"})
      EXPECT_EQ(status(from + "Content-Type: " + type + "\r\n"), 400) << type;
  // curl says so if it is not told, and scripts say nothing.
  for (const std::string line :
       {"Content-Type: application/x-www-form-urlencoded\r\n", ""}) {
    EXPECT_EQ(status(line), 400) << line;
    EXPECT_EQ(status(line + "Origin: http://x\r\n"), 415) << line;
    EXPECT_EQ(status(line + "Sec-Fetch-Site: cross-site\r\n"), 415) << line;
  }
  EXPECT_EQ(service_.num_requests(), 0u);
}

TEST_F(CrossOrigin, RefusesOtherTypesBeforeTheBodyComes) {
  start();
  EXPECT_EQ(fetch("POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
                  "Content-Type: text/plain\r\nContent-Length: 8000000\r\n\r\n")
              .status,
            415);
}

} // namespace

} // namespace troupe::http
