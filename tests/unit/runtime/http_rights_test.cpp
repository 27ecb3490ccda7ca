// Who may call which route: every one of them, with every key that there is,
// on the port and at the admin socket.

#include "tests/unit/runtime/openai_fixture.hpp"

#include <filesystem>

#include <sys/stat.h>
#include <sys/un.h>

namespace troupe::http {

namespace {

class HttpRights : public openai_fixture {
protected:
  void SetUp() override {
    openai_fixture::SetUp();
    char name[] = "/tmp/troupe-rights-XXXXXX";
    ASSERT_TRUE(::mkdtemp(name));
    dir_ = name;
  }

  void TearDown() override {
    admin_.reset();
    openai_fixture::TearDown();
    std::filesystem::remove_all(dir_);
  }

  std::string path() const {
    return dir_ + "/admin";
  }

  void start_admin() {
    server_options options;
    options.unix_path = path();
    auto x = server::start(std::move(options), api_->admin(),
                           logger{"admin", log_level::error});
    ASSERT_TRUE(x) << x.why().message;
    admin_ = std::move(*x);
  }

  void start_with(bool open_metrics) {
    openai_options options;
    options.keys = {{"secret"}};
    options.open_metrics = open_metrics;
    start(options);
    start_admin();
  }

  /// A request that is answered at once, if it is let in.
  static std::string call(const route_right& x, const std::string& key) {
    auto name = x.path.ends_with('/') ? "x" : "";
    auto text = x.method + " " + x.path + name + " HTTP/1.1\r\nHost: x\r\n";
    if (!key.empty())
      text += "Authorization: Bearer " + key + "\r\n";
    if (x.method[0] == 'P')
      text += "Content-Length: 2\r\n\r\n{}";
    else
      text += "\r\n";
    return text;
  }

  /// What the admin socket says.
  test::http_answer ask_admin(const std::string& text) {
    test::http_client client{path()};
    client.send(text);
    return client.receive();
  }

  std::string dir_;
  std::unique_ptr<server> admin_;
};

bool is_let_in(int status) {
  return status == 200 || status == 400 || status == 404;
}

TEST_F(HttpRights, EveryRouteAsksForItsOwn) {
  for (bool open_metrics : {false, true}) {
    start_with(open_metrics);
    for (const auto& x : openai_api::rights()) {
      SCOPED_TRACE(x.method + " " + x.path);
      auto is_open = x.needs == right::none
                     || (open_metrics && x.path == "/metrics");
      auto none = fetch(call(x, "")), wrong = fetch(call(x, "wrong")),
           user = fetch(call(x, "secret"));
      EXPECT_EQ(none.status == 401, !is_open);
      EXPECT_EQ(wrong.status == 401, !is_open);
      EXPECT_TRUE(is_let_in(user.status)) << user.status;
      auto unknown = [](const test::http_answer& got) {
        return got.body.find("Unknown request URL") != std::string::npos;
      };
      EXPECT_EQ(unknown(user), x.needs == right::admin) << user.body;
      auto admin = ask_admin(call(x, ""));
      EXPECT_TRUE(is_let_in(admin.status)) << admin.status;
      EXPECT_EQ(unknown(admin), x.needs == right::ask) << admin.body;
    }
    admin_.reset();
    server_.reset();
    api_.reset();
  }
}

TEST_F(HttpRights, WhoTakesTheWrongMethodHearsTheRightOnes) {
  start_with(false);
  const std::string key = "Authorization: Bearer secret\r\n";
  auto got = fetch(get("/v1/completions", key));
  EXPECT_EQ(got.status, 405);
  EXPECT_EQ(got.headers["allow"], "POST");
  got = fetch(post("/v1/responses/resp_1", "{}", key));
  EXPECT_EQ(got.status, 405);
  EXPECT_EQ(got.headers["allow"], "GET, DELETE, HEAD");
  got = fetch(get("/nowhere", key));
  EXPECT_EQ(got.status, 404);
  EXPECT_FALSE(got.headers.contains("allow"));
  got = fetch("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(got.status, 204);
  EXPECT_TRUE(got.headers.contains("allow"));
}

TEST_F(HttpRights, ABodyThatIsPackedIsRefusedBeforeItComes) {
  start_with(false);
  auto packed = [](const std::string& how) {
    return post("/tokenize", R"({"prompt": "a"})",
                "Authorization: Bearer secret\r\nContent-Encoding: " + how
                  + "\r\n");
  };
  auto got = fetch(packed("gzip"));
  EXPECT_EQ(got.status, 415);
  EXPECT_EQ(got.headers["accept-encoding"], "identity");
  EXPECT_NE(got.body.find("'gzip'"), std::string::npos) << got.body;
  EXPECT_EQ(fetch(packed("Identity")).status, 200);
}

TEST_F(HttpRights, WhatIsNotInTheTableIsNotThere) {
  start_with(false);
  for (const auto* path :
       {"/", "/admin", "/v1", "/v1/embeddings", "/invocations", "/pause",
        "/metrics/", "/cluster/x", "/log-level/"}) {
    EXPECT_EQ(fetch(get(path)).status, 401) << path;
    EXPECT_EQ(fetch(get(path, "Authorization: Bearer secret\r\n")).status, 404)
      << path;
    EXPECT_EQ(ask_admin(get(path)).status, 404) << path;
  }
}

TEST_F(HttpRights, TheAdminSocketTellsAndChangesTheLogLevel) {
  start_with(false);
  auto x = json::parse(ask_admin(get("/log-level")).body);
  EXPECT_EQ(x["level"], "warning");
  auto put = [&](const std::string& body) {
    return ask_admin("PUT /log-level HTTP/1.1\r\nHost: x\r\nContent-Length: "
                     + std::to_string(body.size()) + "\r\n\r\n" + body);
  };
  EXPECT_EQ(put(R"({"level": "loud"})").status, 400);
  EXPECT_EQ(logs_->level(), log_level::warning);
  EXPECT_EQ(json::parse(put(R"({"level": "debug"})").body)["level"], "debug");
  EXPECT_EQ(logs_->level(), log_level::debug);
  auto cluster = json::parse(ask_admin(get("/cluster")).body);
  EXPECT_EQ(cluster["view"], 0);
  EXPECT_EQ(cluster["ranks"], json::array());
  auto experts = json::parse(ask_admin(get("/cluster/experts")).body);
  EXPECT_EQ(experts["layers"], json::array());
  EXPECT_EQ(json::parse(ask_admin(get("/faults")).body)["active"],
            json::array());
}

TEST_F(HttpRights, TheAdminSocketLetsANodeLeave) {
  start_with(false);
  auto post = [&](const std::string& body) {
    return ask_admin("POST /cluster/drain HTTP/1.1\r\nHost: x\r\n"
                     "Content-Length: "
                     + std::to_string(body.size()) + "\r\n\r\n" + body);
  };
  EXPECT_EQ(json::parse(ask_admin(get("/cluster/drain")).body)["drain"],
            nullptr);
  for (auto* body : {"{", "{}", R"({"node": 3})", R"({"node": "b", "x": 1})",
                     R"({"node": "b", "timeout_s": 0})"})
    EXPECT_EQ(post(body).status, 400) << body;
  EXPECT_TRUE(service_.drained().empty());
  EXPECT_EQ(post(R"({"node": "b", "timeout_s": 7})").status, 202);
  ASSERT_EQ(service_.drained().size(), 1u);
  EXPECT_EQ(service_.drained()[0].first, "b");
  EXPECT_EQ(service_.drained()[0].second, std::chrono::seconds{7});
  cluster_status now;
  now.drain = drain_progress{"b", drain_state::emptying, 32, 12, 3};
  service_.look_like(now);
  auto x = json::parse(ask_admin(get("/cluster/drain")).body)["drain"];
  EXPECT_EQ(x["state"], "emptying");
  EXPECT_EQ(x["sentence"], "node b: experts 12 of 32 moved, 3 requests left");
  EXPECT_EQ(json::parse(ask_admin(get("/cluster")).body)["drain"],
            x["sentence"]);
  service_.refuse_to_drain({errc::refused, "there is no room"});
  auto refused = post(R"({"node": "b"})");
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(json::parse(refused.body)["error"]["message"], "there is no room");
  service_.refuse_to_drain({errc::not_found, "no such node"});
  EXPECT_EQ(post(R"({"node": "z"})").status, 404);
}

TEST_F(HttpRights, TheAdminSocketLetsANodeStayAfterAll) {
  start_with(false);
  auto ask = [&] {
    return ask_admin("DELETE /cluster/drain HTTP/1.1\r\nHost: x\r\n\r\n");
  };
  cluster_status now;
  now.drain = drain_progress{.node = "b", .state = drain_state::stays};
  service_.look_like(now);
  auto done = ask();
  EXPECT_EQ(done.status, 200);
  EXPECT_EQ(json::parse(done.body)["drain"]["state"], "stays");
  EXPECT_EQ(service_.kept(), std::vector<std::string>{""}) << "whoever it is";
  service_.refuse_to_drain({errc::refused, "it was told to end"});
  auto refused = ask();
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(json::parse(refused.body)["error"]["message"],
            "it was told to end");
}

TEST_F(HttpRights, NobodyElseMayOpenTheAdminSocket) {
  start_with(false);
  struct stat about = {};
  ASSERT_EQ(::stat(path().c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  server_options again;
  again.unix_path = path();
  auto x = server::start(again, api_->admin(), logger{"a", log_level::error});
  ASSERT_FALSE(x); // somebody listens there
  EXPECT_NE(x.why().message.find(path()), std::string::npos);
  admin_.reset();
  EXPECT_FALSE(std::filesystem::exists(path()));
  // What a process that was killed has left is no obstacle.
  {
    auto fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un at{AF_UNIX, {}};
    path().copy(at.sun_path, sizeof at.sun_path - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    ::close(fd);
  }
  start_admin();
  EXPECT_EQ(ask_admin(get("/health")).status, 200);
  again.unix_path = std::string(200, 'x');
  EXPECT_FALSE(
    server::start(again, api_->admin(), logger{"a", log_level::error}));
}

} // namespace

} // namespace troupe::http
