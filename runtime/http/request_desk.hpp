#pragma once

/// From a request that is read to a generation that runs: what is the same for
/// all kinds of request.

#include "runtime/http/api_options.hpp"
#include "runtime/http/generation.hpp"
#include "runtime/http/openai_request.hpp"
#include "runtime/request_rules.hpp"
#include "runtime/text/chat.hpp"
#include "runtime/text/tokenizer.hpp"

namespace troupe::http {

/// Any thread. All that the constructor is given by reference must outlive it.
class request_desk {
public:
  using respond = std::shared_ptr<responder>;

  request_desk(service& serving, const tokenizer& tokens, chat_form form,
               const openai_options& options, const openai_sources& sources);

  /// Nothing becomes text any more.
  void stop();

  /// Answers `to` when the time comes, in the plan's form; at once with what
  /// is wrong with the request.
  void start(chat_request asked, generation_plan plan, const respond& to);
  void start(text_request asked, generation_plan plan, const respond& to);

  void refuse(const generation_plan& plan, const api_error& why,
              const respond& to);

  /// Refused if its text has more tokens than any request, whatever they are.
  /// `field`: what the client calls its messages.
  parsed<chat_prompt> render_chat(const chat_request& asked,
                                  const std::string& field = "messages") const;

  /// Why such a text has no room, if it surely has none.
  std::optional<api_error> no_room(std::string_view text,
                                   const completion_options& options,
                                   const std::string& field) const;

  /// `begin`: behind the begin token, where the model has it so.
  std::vector<int32_t> encode_text(const std::string& text, bool begin) const;

  generation_context& context() const {
    return *context_;
  }

private:
  /// A prompt, and how its answers begin.
  struct asked_prompt {
    std::vector<int32_t> ids;
    std::vector<prompt_segment> segments = {};
    std::optional<reasoning_splitter> splitter = {};
    std::optional<tool_call_splitter> calls = {};
    std::string echo = {};
  };

  /// Refuses what cannot be, or hands it to the service.
  void generate(std::vector<asked_prompt> prompts, generation_plan plan,
                const respond& to);
  asked_prompt prompt_of(text_prompt&& x, const text_request& of) const;
  parsed<wanted_answer> answer_to(const asked_prompt& x,
                                  const generation_plan& plan, uint64_t seed,
                                  const stop_strings& stops) const;
  /// Whether the chat template has a switch of thought that may be `value`.
  bool takes_thinking(bool value) const;
  /// Bytes beyond which a text has too many tokens, whatever they are.
  size_t max_text() const;
  request_rules rules() const;
  /// Why requests for so many blocks would wait too long for their turn.
  std::optional<api_error> too_busy(size_t num_blocks) const;

  service& serving_;
  const tokenizer& tokens_;
  const chat_form form_;
  const thought_marks marks_;
  const openai_options& options_;
  const openai_sources& sources_;
  const std::shared_ptr<generation_context> context_;
};

} // namespace troupe::http
