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

// To a page a question that is refused looks as if nobody had answered.
TEST_F(CrossOrigin, LetsAPageHearThatAPathIsNotThere) {
  start_for({page});
  auto got = ask_whether(page, "/nowhere");
  EXPECT_EQ(got.status, 204);
  EXPECT_EQ(got.headers["access-control-allow-origin"], page);
  EXPECT_EQ(got.headers["access-control-allow-methods"], "GET, POST, DELETE");
  auto origin = std::string{"Origin: "} + page + "\r\n";
  got = fetch(get("/nowhere", origin + "Authorization: Bearer secret\r\n"));
  EXPECT_EQ(got.status, 404);
  EXPECT_EQ(got.headers["access-control-allow-origin"], page);
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
  auto readable = got.headers["access-control-expose-headers"];
  for (const auto* name : {"X-Request-Id", "Retry-After"})
    EXPECT_NE(readable.find(name), std::string::npos) << readable;
  got = fetch(get("/health", "Origin: https://evil.example.org\r\n"));
  EXPECT_FALSE(got.headers.contains("access-control-allow-origin"));
  EXPECT_EQ(got.headers["vary"], "Origin");
  EXPECT_FALSE(fetch(get("/health")).headers.contains("vary"));
}

TEST_F(CrossOrigin, LetsThePageReadWhatItsKeyHasLeft) {
  openai_options options;
  options.everybody = {60, 100'000};
  options.allowed_origins = {page};
  start(std::move(options));
  auto origin = std::string{"Origin: "} + page + "\r\n";
  auto got = fetch(post("/tokenize", R"({"prompt": "a"})",
                        origin + "Content-Type: application/json\r\n"));
  ASSERT_EQ(got.status, 200) << got.body;
  auto readable = got.headers["access-control-expose-headers"] + ",";
  int count = 0;
  for (const auto& [name, value] : got.headers)
    if (name.starts_with("x-ratelimit-")) {
      ++count;
      EXPECT_NE(readable.find(" " + name + ","), std::string::npos) << name;
    }
  EXPECT_EQ(count, 6);
}

TEST(CrossOriginNames, AreWhatBrowsersSend) {
  for (const auto* text :
       {"*", "null", "https://chat.example.org", "http://localhost:3000",
        "http://[::1]:8080", "chrome-extension://abcdef", "http://10.0.0.1",
        "Capacitor://localhost", "https://A.b"})
    EXPECT_TRUE(check_origin(text)) << text;
  for (const auto* text :
       {"", "https://a.b/", "[\"*\"]", "a.b", "https://", "https://a.b/c",
        "HTTPS://a.b:443", "https://u@a.b", "https://a.b:443", "http://a.b:80",
        "https://a.b ", "https://*.b"}) {
    auto ok = check_origin(text);
    ASSERT_FALSE(ok) << text;
    EXPECT_EQ(ok.why().code, errc::invalid_input);
    EXPECT_NE(ok.why().message.find(text), std::string::npos);
  }
}

TEST_F(CrossOrigin, KnowsAnOriginInWhateverCase) {
  start_for({"Capacitor://localhost", "https://Chat.example.org"});
  for (const std::string origin :
       {"Capacitor://localhost", "capacitor://localhost", page})
    EXPECT_EQ(
      ask_whether(origin, "/v1/models").headers["access-control-allow-origin"],
      origin);
  EXPECT_FALSE(ask_whether("capacitor://localhos", "/v1/models")
                 .headers.contains("access-control-allow-origin"));
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
