#pragma once

/// An API with nano's tokenizer behind a real server, in front of a scripted
/// service.

#include "runtime/http/openai_api.hpp"
#include "runtime/http/server.hpp"

#include "tests/places.hpp"
#include "tests/unit/runtime/http_client.hpp"
#include "tests/unit/runtime/scripted_service.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <atomic>

namespace troupe::http {

using nlohmann::json;

class openai_fixture : public testing::Test {
protected:
  void SetUp() override {
    auto model = source_dir() / "examples/nano/model";
    auto tokens = tokenizer::load(model / "tokenizer.json");
    ASSERT_TRUE(tokens) << tokens.why().message;
    tokens_ = std::make_unique<tokenizer>(std::move(*tokens));
    auto form = chat_form::load(model, *tokens_);
    ASSERT_TRUE(form) << form.why().message;
    form_ = std::make_unique<chat_form>(std::move(*form));
  }

  /// The model has another chat template. Before start().
  void use_template(const std::string& text) {
    json config = {{"bos_token", "<｜begin▁of▁sentence｜>"},
                   {"eos_token", "<｜end▁of▁sentence｜>"},
                   {"chat_template", text}};
    auto form = chat_form::parse(config.dump(), *tokens_);
    ASSERT_TRUE(form) << form.why().message;
    form_ = std::make_unique<chat_form>(std::move(*form));
  }

  void start(openai_options options = {}) {
    options.model = "nano";
    options.fingerprint = "fp_test";
    openai_sources sources;
    sources.now = [this] {
      return std::chrono::steady_clock::time_point{now_};
    };
    sources.unix_time = [] { return int64_t{1'700'000'000}; };
    sources.random_bits = [this] {
      if (on_draw_)
        on_draw_();
      return ++bits_;
    };
    sources.enough = [this](request_id id) { service_.enough(id); };
    server_options listening;
    listening.limits = limits_;
    sources.connections = counts_ = listening.counts;
    sources.logs = logs_;
    api_ = std::make_unique<openai_api>(service_, *tokens_, *form_,
                                        std::move(options), sources);
    auto x = server::start(std::move(listening), *api_,
                           logger{"test", log_level::error});
    ASSERT_TRUE(x) << x.why().message;
    server_ = std::move(*x);
  }

  void TearDown() override {
    server_.reset();
    api_.reset();
  }

  test::http_client connect() {
    return test::http_client{server_->port()};
  }

  /// Returns once the server has `n` connections: those that were opened and
  /// those that were closed before have both been seen.
  void wait_for_open(size_t n) const {
    while (counts_->open != n)
      std::this_thread::yield();
  }

  static std::string get(const std::string& path,
                         const std::string& headers = "") {
    return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n";
  }

  static std::string post(const std::string& path, const std::string& body,
                          const std::string& headers = "") {
    return "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + headers
           + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n"
           + body;
  }

  /// A chat request of one question with `more` members.
  static std::string ask(json more = json::object()) {
    json body = {{"model", "nano"},
                 {"messages", {{{"role", "user"}, {"content", "hi"}}}}};
    body.update(more);
    return post("/v1/chat/completions", body.dump());
  }

  /// Sends `text` on a connection of its own.
  test::http_answer fetch(const std::string& text) {
    auto client = connect();
    client.send(text);
    return client.receive();
  }

  std::vector<int32_t> ids(const std::string& text) const {
    return tokens_->encode(text, specials::recognised);
  }

  /// The next server-sent event, which must have come in one chunk.
  static json next_event(test::http_client& client) {
    auto chunk = client.receive_chunk();
    if (!chunk)
      return nullptr;
    EXPECT_TRUE(chunk->starts_with("data: ")) << *chunk;
    EXPECT_TRUE(chunk->ends_with("\n\n")) << *chunk;
    return json::parse(chunk->substr(6, chunk->find("\n\n") - 6));
  }

  /// All events of a whole stream, "[DONE]" as a string.
  static std::vector<json> events(const std::string& body) {
    std::vector<json> all;
    for (size_t at = 0; at < body.size();) {
      auto end = body.find("\n\n", at);
      EXPECT_NE(end, std::string::npos);
      auto line = body.substr(at, end - at);
      EXPECT_TRUE(line.starts_with("data: ")) << line;
      auto text = line.substr(6);
      all.push_back(text == "[DONE]" ? json(text) : json::parse(text));
      at = end + 2;
    }
    return all;
  }

  std::unique_ptr<tokenizer> tokens_;
  std::unique_ptr<chat_form> form_;
  test::scripted_service service_;
  std::atomic<std::chrono::steady_clock::duration> now_{};
  std::atomic<uint64_t> bits_ = 0;
  std::function<void()> on_draw_; ///< On the thread that reads a request.
  server_limits limits_;          ///< Before start().
  std::shared_ptr<const server_counts> counts_;
  std::shared_ptr<log_book> logs_
    = std::make_shared<log_book>(log_level::warning);
  std::unique_ptr<openai_api> api_;
  std::unique_ptr<server> server_;
};

} // namespace troupe::http
