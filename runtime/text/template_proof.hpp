#pragma once

/// What a chat template makes of a few conversations of our own, followed step
/// by step. It proves, while a model is loaded, that the form found for the
/// template writes the same; requests are never written this way.

#include "runtime/text/chat_message.hpp"
#include "runtime/text/template_tokens.hpp"

#include <map>
#include <optional>
#include <span>

namespace troupe {

struct template_case {
  std::vector<chat_message> messages;
  bool add_generation_prompt = true;
  std::map<std::string, bool> switches; ///< That somebody sets.
};

/// Plain conversations: all that people and the model say, without tools.
std::vector<template_case>
template_cases(const std::vector<std::string>& switches);

/// Returns what the template writes, with `bos` and `eos` for its tokens, or
/// nothing if it cannot be followed. `tags` have passed check_vocabulary().
std::optional<std::string>
follow_template(std::span<const template_tag> tags, const template_case& x,
                const std::string& bos, const std::string& eos);

} // namespace troupe
